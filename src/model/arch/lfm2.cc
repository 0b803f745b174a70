// LFM2: short convolutions and grouped attention in turn, dense feed-forward.
#include "model/arch/lfm2_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kConvTapsSpec, kLfmWindowSpec};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput,     kLfmOutputNorm, kAttnNorm, kQ,       kK,    kV,  kO,    kQNorm,
    kKNorm,     kConvKernel, kConvIn,        kConvOut,  kFfnNorm, kGate, kUp, kDown,
};

}  // namespace

extern const Architecture lfm2 = {
    .name = "lfm2",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
    .plan = PlanConvLayers,
};

}  // namespace lull::arch
