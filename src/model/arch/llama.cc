// Llama 1 to 3, SmolLM, Mistral (sliding window in all layers), Mixtral (softmax router).
// Llama 3 scales its rotary frequencies by the tensor rope_freqs.weight.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"attention.sliding_window", &Hparams::window, false, 0, 1 << 20},
    {"expert_count", &Hparams::num_experts, false, 0, 1024},
    {"expert_used_count", &Hparams::experts_used, false, 0, 1024},
    kExpertWeightsScale,
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm, kRopeFactors, kAttnNorm, kQ,      kK,
    kV,         kO,      kQBias,      kKBias,       kVBias,    kOBias,  kFfnNorm,
    kGate,      kUp,     kDown,       kRouter,      kGateExps, kUpExps, kDownExps,
};

Status Plan(Hparams& h) {
  for (LayerPlan& layer : h.layers) {
    layer.window = h.window;
    layer.moe = h.num_experts > 0;
  }
  return Status::Ok();
}

}  // namespace

extern const Architecture llama = {
    .name = "llama",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
