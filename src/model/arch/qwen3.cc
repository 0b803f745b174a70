// Qwen 3 (dense): Llama's block with normed Q and K heads, whose width is a key of its own.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm, kAttnNorm, kQ,  kK,    kV,
    kO,         kQNorm,  kKNorm,      kFfnNorm,  kUp, kGate, kDown,
};

}  // namespace

extern const Architecture qwen3 = {
    .name = "qwen3",
    .hparams = {},
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
};

}  // namespace lull::arch
