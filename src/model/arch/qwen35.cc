// Qwen 3.5 (dense).
#include "model/arch/qwen35_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kDraftLayers, kFullInterval, kRecurrentLayers, kSsmTaps,
                                   kSsmInner,    kSsmState,     kSsmRank,         kSsmGroups};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,  kOutput,    kOutputNorm,  kAttnNorm, kGatedQ,
    kK,          kV,         kO,           kQNorm,    kKNorm,
    kDeltaIn,    kDeltaGate, kDeltaConv,   kDeltaA,   kDeltaBeta,
    kDeltaAlpha, kDeltaNorm, kSsmHeadBias, kSsmOut,   kQwen35FfnNorm,
    kGate,       kUp,        kDown,
};

}  // namespace

extern const Architecture qwen35 = {
    .name = "qwen35",
    .hparams = kHparams,
    .ignored_keys = kQwen35Ignored,
    .tensors = kTensors,
    .rope_neox = true,
    .gated_attention = true,
    .gate = GateFn::kSilu,
    .plan = PlanDeltaLayers,
};

}  // namespace lull::arch
