#include <mutex>

#include "engine/model_rep.h"
#include "formats/gguf.h"
#include "model/pack_file.h"

namespace lull {
namespace {

// The weights alone, under the runtime's budget. The runtime's `compute` is held.
Result<std::unique_ptr<LoadedModel>> LoadWeights(const std::string& path, const ExecContext& ctx,
                                                 PackUse use) {
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path, ctx));
  Result<std::unique_ptr<LoadedModel>> loaded = LoadedModel::Load(ctx, *file, use);
  if (!loaded.ok()) return file->Locate(loaded.error());
  return loaded;
}

}  // namespace

Result<std::string> WriteModelPack(const std::string& path, Runtime& runtime,
                                   const PackProgress& progress) {
  std::lock_guard<FairMutex> lock(runtime.rep().compute);
  const ExecContext ctx = runtime.rep().Context();
  LULL_ASSIGN_OR_RETURN(const auto model, LoadWeights(path, ctx, PackUse::kIgnore));
  const std::string pack = PackPathOf(path);
  LULL_RETURN_IF_ERROR(
      WritePack(ctx, pack, model->pack_identity(), model->weight_memory(), progress));
  return pack;
}

Result<std::string> VerifyModelPack(const std::string& path, Runtime& runtime,
                                    const PackProgress& progress) {
  std::lock_guard<FairMutex> lock(runtime.rep().compute);
  const ExecContext ctx = runtime.rep().Context();
  LULL_ASSIGN_OR_RETURN(const auto model, LoadWeights(path, ctx, PackUse::kRequire));
  LULL_RETURN_IF_ERROR(model->pack()->VerifyWeights(ctx, progress));
  return PackPathOf(path);
}

}  // namespace lull
