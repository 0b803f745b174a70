// Command R7B: attention and feed-forward read the same normed residual, and both are added to it;
// norms subtract the mean; three of four layers have a sliding window and rotate, the fourth sees
// all and does not.
#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"logit_scale", &Hparams::logit_divisor, true, 1e-6, 1e6},
    {"attention.sliding_window", &Hparams::window, true, 1, 1 << 20},
    kWindowPatternSpec,
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutputNorm,
    kAttnNorm,  {"blk.%d.attn_norm.weight", When::kEveryLayer, true, &L::ffn_norm, {Embd}},
    kQ,         kK,
    kV,         kO,
    kGate,      kUp,
    kDown,
};

constexpr int64_t kPeriod = 4;

Status Plan(Hparams& h) {
  h.logit_divisor = 1.0f / h.logit_divisor;  // the file's is a factor
  PlanWindows(h, kPeriod, /*local_rope=*/false);
  for (LayerPlan& layer : h.layers) {
    layer.rope = layer.window > 0;
    layer.parallel = true;
  }
  return Status::Ok();
}

}  // namespace

extern const Architecture cohere2 = {
    .name = "cohere2",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .layer_norm = true,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
