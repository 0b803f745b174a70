// Mamba 2: every layer is a state space of heads; no attention, no feed-forward, no KV cache.
#include "model/arch/ssm_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kSsmTaps, kSsmInner, kSsmState, kSsmRank, kSsmGroups};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,      kOutput,  kOutputNorm, kAttnNorm, kMamba2In,    kMamba2Conv,
    kMamba2ConvBias, kMamba2A, kMamba2D,    kSsmNorm,  kSsmHeadBias, kSsmOut,
};

Status Plan(Hparams& h) {
  for (LayerPlan& layer : h.layers) {
    layer.mixer = Mixer::kMamba2;
    layer.feed_forward = false;
  }
  return CheckMamba2(h);
}

}  // namespace

extern const Architecture mamba2 = {
    .name = "mamba2",
    .hparams = kHparams,
    .neutral_keys = kAttentionFreeKeys,
    .tensors = kTensors,
    .rope_neox = false,
    .attention_free = true,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
