// Qwen 3 mixture of experts: Qwen 3's attention, a softmax router in every layer.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kExpertCount, kExpertsUsed, kExpertFfn, kExpertWeightsScale};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm, kAttnNorm, kQ,      kK,        kV,        kO,
    kQNorm,     kKNorm,  kFfnNorm,    kRouter,   kUpExps, kGateExps, kDownExps,
};

Status Plan(Hparams& h) {
  PlanExperts(h, 0);
  return Status::Ok();
}

}  // namespace

extern const Architecture qwen3moe = {
    .name = "qwen3moe",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
