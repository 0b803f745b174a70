// Granite 3 and 4 (dense): Llama's block with scales.
#include "model/arch/granite_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kGraniteLogits, kGraniteResidual, kGraniteEmbedding,
                                   kGraniteRope};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm, kRopeFactors, kAttnNorm, kQ,    kK,  kV,    kO,
    kQBias,     kKBias,  kVBias,      kOBias,       kFfnNorm,  kGate, kUp, kDown,
};

Status Plan(Hparams& h) {
  PlanGraniteLayers(h);
  return Status::Ok();
}

}  // namespace

extern const Architecture granite = {
    .name = "granite",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
