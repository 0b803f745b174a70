// Ministral 3 and its kin: Llama's block with YaRN, and Q scaled by its position.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"attention.temperature_scale", &Hparams::attention_temperature, false, 0, 1e3},
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
  for (LayerPlan& layer : h.layers) layer.moe = h.num_experts > 0;
  return Status::Ok();
}

}  // namespace

extern const Architecture mistral3 = {
    .name = "mistral3",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
