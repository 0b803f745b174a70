// Granite mixture of experts, with or without an expert that every token goes through.
#include "model/arch/granite_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kGraniteLogits, kGraniteResidual, kGraniteEmbedding, kGraniteRope,
    kExpertCount,   kExpertsUsed,     kGraniteSharedFfn,
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput,   kOutputNorm, kRopeFactors, kAttnNorm,   kQ,        kK,
    kV,         kO,        kQBias,      kKBias,       kVBias,      kOBias,    kFfnNorm,
    kRouter,    kGateExps, kUpExps,     kDownExps,    kSharedGate, kSharedUp, kSharedDown,
};

Status Plan(Hparams& h) {
  PlanGraniteLayers(h);
  return Status::Ok();
}

}  // namespace

extern const Architecture granitemoe = {
    .name = "granitemoe",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
