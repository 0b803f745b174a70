// Gemma 3: five sliding-window layers with a local rotary base, then one full layer; norms before
// and after each half of the block; embeddings scaled by sqrt(embedding).
#include <cmath>

#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kWindowSpec,
    kWindowPatternSpec,
    {"rope.freq_base_swa", &Hparams::rope_base_local, false, 1, 1e12},
    {"final_logit_softcapping", &Hparams::final_softcap, false, 0, 1e6},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm,   kAttnNorm, kQ,    kK,  kV,    kO,
    kQNorm,     kKNorm,  kAttnPostNorm, kFfnNorm,  kGate, kUp, kDown, kFfnPostNorm,
};

constexpr int64_t kDefaultPeriod = 6;
constexpr float kDefaultLocalBase = 10000.0f;
constexpr int64_t k27bLayers = 62;  // the one size that scales by embedding / heads

Status Plan(Hparams& h) {
  h.embedding_scale = std::sqrt(static_cast<float>(h.embedding));
  if (h.rope_base_local == 0.0f) h.rope_base_local = kDefaultLocalBase;
  if (h.attention_scale == 0.0f && h.num_layers == k27bLayers)
    h.attention_scale = 1.0f / std::sqrt(static_cast<float>(h.embedding / h.num_heads));
  PlanWindows(h, kDefaultPeriod, /*local_rope=*/true);
  return Status::Ok();
}

}  // namespace

extern const Architecture gemma3 = {
    .name = "gemma3",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kGelu,
    .plan = Plan,
};

}  // namespace lull::arch
