#include "lull/adapter.h"

#include <mutex>
#include <utility>

#include "engine/model_rep.h"
#include "engine/runtime_rep.h"
#include "formats/gguf.h"
#include "model/adapter.h"

namespace lull {

Result<std::shared_ptr<const Adapter>> Adapter::Load(const std::string& path, const Model& model,
                                                     Runtime& runtime) {
  if (model.rep().loaded == nullptr)
    return Error{ErrorCode::kUsage, "the model was loaded without weights", path, ""};
  Runtime::Rep& rep = runtime.rep();
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file,
                        GgufFile::Open(path, rep.SingleThreaded()));
  const auto approve = [&rep](int64_t bytes) -> Result<std::shared_ptr<void>> {
    LULL_ASSIGN_OR_RETURN(MemoryPromise promise, rep.memory.Promise(MemoryPart::kPacked, bytes));
    return std::shared_ptr<void>(std::make_shared<MemoryPromise>(std::move(promise)));
  };
  std::unique_lock<FairMutex> lock(rep.compute);
  const auto give_way = [&lock] {  // answers go on
    lock.unlock();
    lock.lock();
  };
  Result<std::unique_ptr<Rep>> loaded =
      LoadAdapter(rep.Context(), *file, *model.rep().loaded, approve, give_way);
  if (loaded.status().code() == ErrorCode::kBudgetImpossible) return loaded.error();
  if (!loaded.ok()) return file->Locate(loaded.error());
  return std::shared_ptr<const Adapter>(std::make_shared<Adapter>(std::move(*loaded)));
}

bool Adapter::Fits(const Model& model) const {
  return model.rep().loaded != nullptr && model.rep().loaded->id() == rep_->model_id;
}

}  // namespace lull
