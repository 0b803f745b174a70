// gpt-oss: every other layer has a sliding window; each head may attend to a learned sink; biases
// everywhere, clamped experts, YaRN.
#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kWindowSpec, kWindowPatternSpec, kExpertCount, kExpertsUsed, kExpertFfn, kExpertWeightsScale,
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    kQ,
    kK,
    kV,
    kO,
    kQBias,
    kKBias,
    kVBias,
    kOBias,
    {"blk.%d.attn_sinks.weight", When::kAttention, true, &L::sinks, {Heads}},
    // Before the experts, in spite of its name.
    {"blk.%d.post_attention_norm.weight", When::kEveryLayer, true, &L::ffn_norm, {Embd}},
    kRouter,
    {"blk.%d.ffn_gate_inp.bias", When::kMoe, true, &L::router_input_bias, {Experts}},
    kGateExps,
    kUpExps,
    kDownExps,
    {"blk.%d.ffn_gate_exps.bias", When::kMoe, true, &L::gate_experts_bias, {Ffn, Experts}},
    {"blk.%d.ffn_up_exps.bias", When::kMoe, true, &L::up_experts_bias, {Ffn, Experts}},
    {"blk.%d.ffn_down_exps.bias", When::kMoe, true, &L::down_experts_bias, {Embd, Experts}},
};

constexpr int64_t kDefaultPeriod = 2;

Status Plan(Hparams& h) {
  PlanExperts(h, 0);
  PlanWindows(h, kDefaultPeriod, /*local_rope=*/false);
  return Status::Ok();
}

}  // namespace

extern const Architecture gpt_oss = {
    .name = "gpt-oss",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kClampedSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
