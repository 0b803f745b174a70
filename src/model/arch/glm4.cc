// GLM-4-0414 and GLM-Z1 (dense): half of each head turns, as pairs of neighbours; norms before and
// behind each half of the block; gate and up projection lie in one tensor.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput,    kOutputNorm, kAttnNorm, kQ,           kK,
    kV,         kQBias,     kKBias,      kVBias,    kO,           kAttnPostNorm,
    kFfnNorm,   kFusedGate, kFusedUp,    kDown,     kFfnPostNorm,
};

}  // namespace

extern const Architecture glm4 = {
    .name = "glm4",
    .hparams = {},
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
};

}  // namespace lull::arch
