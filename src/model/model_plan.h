// A model file checked as far as that goes without its weights: what loading does first, and what
// `lull inspect` shows.
#pragma once

#include <cstdint>
#include <vector>

#include "base/exec_context.h"
#include "formats/gguf.h"
#include "kernels/kernels.h"
#include "lull/model.h"
#include "lull/status.h"
#include "model/architecture.h"
#include "model/hparams.h"
#include "model/weight_plan.h"

namespace lull {

// Layers that are alike.
struct LayerKind {
  Mixer mixer = Mixer::kAttention;
  int64_t window = 0;      // tokens; 0: full attention, or recurrent
  bool shared_kv = false;  // reads K and V of an earlier layer
  bool moe = false;
  int64_t layers = 0;
};

// What a sequence holds.
struct SequenceBytes {
  int64_t per_token = 0;     // K and V of layers with full attention
  int64_t state = 0;         // of recurrent layers, f32; a sequence holds two
  int64_t full_context = 0;  // at most, with windows and states
};

// Points into the file and the architecture's tables.
struct ModelPlan {
  const Architecture* architecture = nullptr;
  Hparams hparams;
  WeightPlan weights;
  ModelInfo info;  // all but load_s and what says of a pack file

  std::vector<LayerKind> layer_kinds() const;  // in the order of their first layers
  SequenceBytes SequenceBytesOf(KvType type) const;
};

// Every key, shape and type. kUnsupported and kInvalidModel name the key or the tensor.
Result<ModelPlan> PlanModel(const ExecContext& ctx, const GgufFile& file);

}  // namespace lull
