// A model file turned into what the forward pass reads: checked hyper-parameters, every weight in
// the packed layout, in memory of our own or mapped from the pack file beside it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/exec_context.h"
#include "base/os/os.h"
#include "formats/gguf.h"
#include "lull/model.h"
#include "lull/status.h"
#include "model/architecture.h"
#include "model/hparams.h"
#include "model/pack_file.h"
#include "model/weights.h"

namespace lull {

struct WeightPlan;

// What Load does about the pack file beside the model's.
enum class PackUse {
  kIgnore,   // repacks
  kPrefer,   // maps it where one fits, else repacks
  kRequire,  // maps it; an error where none fits
};

// Immutable after Load, so thread-safe.
class LoadedModel {
 public:
  struct Hooks {
    // Asked before weights are repacked, with all of info() but load_s; its error ends the load.
    std::function<Status(const ModelInfo&)> approve;
    // Called between pieces of at most some MiB, with nothing running on the context's pool.
    std::function<void()> give_way;
  };
  // Checks every key and shape, then maps the pack file or repacks under ctx (tiles, checkpoints,
  // cancel). Source pages are dropped on the way: peak memory is about one copy. The file may be
  // closed afterwards.
  static Result<std::unique_ptr<LoadedModel>> Load(const ExecContext& ctx, const GgufFile& file,
                                                   PackUse use = PackUse::kPrefer,
                                                   const Hooks& hooks = {});

  const ModelInfo& info() const { return info_; }
  uint64_t id() const { return id_; }  // of this load; no other of the process has it
  const Architecture& architecture() const { return *architecture_; }
  const Hparams& hparams() const { return hparams_; }
  const ModelWeights& weights() const { return weights_; }
  // All of them, as a pack file holds them, and what makes such a file this model's: file is the
  // one it was loaded from.
  std::span<const uint8_t> weight_memory() const;
  PackIdentity PackIdentityOf(const ExecContext& ctx, const GgufFile& file) const;
  const PackFile* pack() const { return pack_.get(); }  // null: repacked

 private:
  LoadedModel();
  // Why a pack that is there is not used; "" where it is, or there is none.
  Result<std::string> MapPack(const ExecContext& ctx, const GgufFile& file, PackUse use);
  Status Repack(const ExecContext& ctx, const GgufFile& file, const WeightPlan& plan,
                const std::function<void()>& give_way);
  const uint64_t id_;
  const Architecture* architecture_ = nullptr;
  Hparams hparams_;
  ModelWeights weights_;
  Sha256Digest layout_{};
  size_t weight_bytes_ = 0;
  std::unique_ptr<PackFile> pack_;
  os::Memory memory_;  // empty where there is a pack
  ModelInfo info_;
};

}  // namespace lull
