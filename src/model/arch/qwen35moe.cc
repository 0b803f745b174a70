// Qwen 3.5 mixture of experts: a softmax router, and an expert that every token goes through by a
// share of its own.
#include "model/arch/qwen35_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kDraftLayers,
    kFullInterval,
    kRecurrentLayers,
    kSsmTaps,
    kSsmInner,
    kSsmState,
    kSsmRank,
    kSsmGroups,
    kExpertCount,
    kExpertsUsed,
    kExpertFfn,
    kExpertWeightsScale,
    {"expert_shared_feed_forward_length", &Hparams::shared_ffn_length, true, 1, 1 << 20},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    kGatedQ,
    kK,
    kV,
    kO,
    kQNorm,
    kKNorm,
    kDeltaIn,
    kDeltaGate,
    kDeltaConv,
    kDeltaA,
    kDeltaBeta,
    kDeltaAlpha,
    kDeltaNorm,
    kSsmHeadBias,
    kSsmOut,
    kQwen35FfnNorm,
    kRouter,
    kFusedGateExps,
    kFusedUpExps,
    kGateExps,
    kUpExps,
    kDownExps,
    {"blk.%d.ffn_gate_inp_shexp.weight", When::kSharedExpert, true, &L::shared_router, {Embd}},
    kSharedGate,
    kSharedUp,
    kSharedDown,
};

Status Plan(Hparams& h) {
  PlanExperts(h, 0);
  for (LayerPlan& layer : h.layers) layer.shared_expert = true;
  return PlanDeltaLayers(h);
}

}  // namespace

extern const Architecture qwen35moe = {
    .name = "qwen35moe",
    .hparams = kHparams,
    .ignored_keys = kQwen35Ignored,
    .tensors = kTensors,
    .rope_neox = true,
    .gated_attention = true,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
