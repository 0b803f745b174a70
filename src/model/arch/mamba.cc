// Mamba: every layer is a selective state space; no attention, no feed-forward, no KV cache.
#include "model/arch/ssm_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {kSsmTaps, kSsmInner, kSsmState, kSsmRank};

int64_t TwoInner(const Hparams& h, const LayerPlan&) { return 2 * h.ssm_inner; }
int64_t StepsProjected(const Hparams& h, const LayerPlan&) {
  return h.ssm_time_step_rank + 2 * h.ssm_state;
}

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    {"blk.%d.ssm_in.weight", When::kRecurrent, true, &L::conv_in, {Embd, TwoInner}},
    {"blk.%d.ssm_conv1d.weight", When::kRecurrent, true, &L::conv, {Taps, SsmInner}},
    {"blk.%d.ssm_conv1d.bias", When::kRecurrent, true, &L::conv_bias, {SsmInner}},
    {"blk.%d.ssm_x.weight", When::kRecurrent, true, &L::ssm_x, {SsmInner, StepsProjected}},
    {"blk.%d.ssm_dt.weight", When::kRecurrent, true, &L::ssm_dt, {SsmRank, SsmInner}},
    {"blk.%d.ssm_dt.bias", When::kRecurrent, true, &L::ssm_dt_bias, {SsmInner}},
    {"blk.%d.ssm_a", When::kRecurrent, true, &L::ssm_a, {SsmState, SsmInner}},
    {"blk.%d.ssm_d", When::kRecurrent, true, &L::ssm_d, {SsmInner}},
    kSsmOut,
};

Status Plan(Hparams& h) {
  for (LayerPlan& layer : h.layers) {
    layer.mixer = Mixer::kMamba;
    layer.feed_forward = false;
  }
  return Status::Ok();
}

}  // namespace

extern const Architecture mamba = {
    .name = "mamba",
    .hparams = kHparams,
    .neutral_keys = kAttentionFreeKeys,
    .tensors = kTensors,
    .rope_neox = false,
    .attention_free = true,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
