// Gemma 2: every other layer has a sliding window; scores and logits are capped; norms before and
// behind each half of the block; embeddings scaled by sqrt(embedding).
#include <cmath>

#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kWindowSpec,
    kWindowPatternSpec,
    {"attn_logit_softcapping", &Hparams::attention_softcap, false, 0, 1e6},
    {"final_logit_softcapping", &Hparams::final_softcap, false, 0, 1e6},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,    kOutputNorm, kAttnNorm, kQ,  kK,    kV,           kO,
    kAttnPostNorm, kFfnNorm,    kGate,     kUp, kDown, kFfnPostNorm,
};

constexpr int64_t kDefaultPeriod = 2;
constexpr int64_t kDefaultWindow = 4096;
constexpr float kDefaultScoreCap = 50.0f, kDefaultLogitCap = 30.0f;
constexpr int64_t k27bLayers = 46;  // the one size that scales by embedding / heads

// Files older than the keys lack them.
Status Plan(Hparams& h) {
  h.embedding_scale = std::sqrt(static_cast<float>(h.embedding));
  if (h.window == 0) h.window = kDefaultWindow;
  if (h.attention_softcap == 0.0f) h.attention_softcap = kDefaultScoreCap;
  if (h.final_softcap == 0.0f) h.final_softcap = kDefaultLogitCap;
  if (h.attention_scale == 0.0f && h.num_layers == k27bLayers)
    h.attention_scale = 1.0f / std::sqrt(static_cast<float>(h.embedding / h.num_heads));
  PlanWindows(h, kDefaultPeriod, /*local_rope=*/false);
  return Status::Ok();
}

}  // namespace

extern const Architecture gemma2 = {
    .name = "gemma2",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kGelu,
    .plan = Plan,
};

}  // namespace lull::arch
