#include <algorithm>
#include <cstring>
#include <mutex>

#include "engine/model_rep.h"
#include "formats/gguf.h"
#include "model/pack_file.h"

namespace lull {
namespace {

struct Weights {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<LoadedModel> model;
};

// The weights alone, under the runtime's budget. The runtime's `compute` is held.
Result<Weights> LoadWeights(const std::string& path, const ExecContext& ctx, PackUse use) {
  Weights weights;
  LULL_ASSIGN_OR_RETURN(weights.file, GgufFile::Open(path, ctx));
  Result<std::unique_ptr<LoadedModel>> loaded = LoadedModel::Load(ctx, *weights.file, use);
  if (!loaded.ok()) return weights.file->Locate(loaded.error());
  weights.model = std::move(*loaded);
  return weights;
}

Status CompareWeights(const ExecContext& ctx, const LoadedModel& packed,
                      const LoadedModel& repacked, const std::string& path) {
  constexpr size_t kPieceBytes = size_t{64} << 10;
  const std::span<const uint8_t> a = packed.weight_memory(), b = repacked.weight_memory();
  for (size_t at = 0; at < a.size(); at += kPieceBytes) {
    if (memcmp(a.data() + at, b.data() + at, std::min(kPieceBytes, a.size() - at)) != 0)
      return Status(ErrorCode::kInvalidInput, "the pack file's weights are not the model file's",
                    PackPathOf(path), "make it anew: lull pack --force " + path);
    ctx.Checkpoint();
    if (ctx.Cancelled()) return Status(ErrorCode::kCancelled, "verifying was cancelled");
  }
  return Status::Ok();
}

}  // namespace

Result<std::string> WriteModelPack(const std::string& path, Runtime& runtime, bool force,
                                   const PackProgress& progress) {
  std::lock_guard<FairMutex> lock(runtime.rep().compute);
  const ExecContext ctx = runtime.rep().Context();
  const std::string pack = PackPathOf(path);
  if (!force && LoadWeights(path, ctx, PackUse::kRequire).ok()) return pack;
  LULL_ASSIGN_OR_RETURN(const Weights weights, LoadWeights(path, ctx, PackUse::kIgnore));
  LULL_RETURN_IF_ERROR(WritePack(ctx, pack, weights.model->PackIdentityOf(ctx, *weights.file),
                                 weights.model->weight_memory(), progress));
  return pack;
}

Result<std::string> VerifyModelPack(const std::string& path, Runtime& runtime,
                                    const PackProgress& progress) {
  std::lock_guard<FairMutex> lock(runtime.rep().compute);
  const ExecContext ctx = runtime.rep().Context();
  LULL_ASSIGN_OR_RETURN(const Weights packed, LoadWeights(path, ctx, PackUse::kRequire));
  LULL_RETURN_IF_ERROR(packed.model->pack()->VerifyWeights(ctx, progress));
  LULL_ASSIGN_OR_RETURN(const Weights repacked, LoadWeights(path, ctx, PackUse::kIgnore));
  LULL_RETURN_IF_ERROR(CompareWeights(ctx, *packed.model, *repacked.model, path));
  return PackPathOf(path);
}

}  // namespace lull
