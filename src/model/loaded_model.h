// A model file turned into what the forward pass reads: checked hyper-parameters, every weight in
// the packed layout, in memory of our own.
#pragma once

#include <memory>

#include "base/exec_context.h"
#include "base/os/os.h"
#include "formats/gguf.h"
#include "lull/model.h"
#include "lull/status.h"
#include "model/architecture.h"
#include "model/hparams.h"
#include "model/weights.h"

namespace lull {

// Immutable after Load, so thread-safe.
class LoadedModel {
 public:
  // Checks every key and shape, then repacks under ctx (tiles, checkpoints, cancel). Source pages
  // are dropped on the way: peak memory is about one copy. The file may be closed afterwards.
  static Result<std::unique_ptr<LoadedModel>> Load(const ExecContext& ctx, const GgufFile& file);

  const ModelInfo& info() const { return info_; }
  const Architecture& architecture() const { return *architecture_; }
  const Hparams& hparams() const { return hparams_; }
  const ModelWeights& weights() const { return weights_; }

 private:
  LoadedModel() = default;
  const Architecture* architecture_ = nullptr;
  Hparams hparams_;
  ModelWeights weights_;
  os::Memory memory_;
  ModelInfo info_;
};

}  // namespace lull
