// Granite 4 hybrid: Mamba 2 in the layers without KV heads, attention in the others, which as a
// rule does not rotate; dense, or experts with one that every token goes through.
#include "model/arch/granite_common.h"
#include "model/arch/ssm_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"logit_scale", &Hparams::logit_divisor, false, 1e-6, 1e6},
    kGraniteResidual,
    kGraniteEmbedding,
    kGraniteRope,
    {"expert_count", &Hparams::num_experts, false, 0, 1024},
    {"expert_used_count", &Hparams::experts_used, false, 0, 1024},
    kGraniteSharedFfn,
    kSsmTaps,
    kSsmInner,
    kSsmState,
    kSsmRank,
    kSsmGroups,
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput,      kOutputNorm, kRopeFactors,    kAttnNorm, kQ,
    kK,         kV,           kO,          kQBias,          kKBias,    kVBias,
    kOBias,     kMamba2In,    kMamba2Conv, kMamba2ConvBias, kMamba2A,  kMamba2D,
    kSsmNorm,   kSsmHeadBias, kSsmOut,     kFfnNorm,        kGate,     kUp,
    kDown,      kRouter,      kGateExps,   kUpExps,         kDownExps, kSharedGate,
    kSharedUp,  kSharedDown,
};

Status Plan(Hparams& h) {
  PlanGraniteLayers(h);
  for (LayerPlan& layer : h.layers)
    if (layer.kv_heads == 0) layer.mixer = Mixer::kMamba2;
  return CheckMamba2(h);
}

}  // namespace

extern const Architecture granitehybrid = {
    .name = "granitehybrid",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
