// DeepSeek V2 and its kin: latent attention; experts after the leading dense layers, beside one
// that every token goes through. Without groups of experts.
#include <cmath>

#include "base/exact_math.h"
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"attention.q_lora_rank", &Hparams::q_rank, false, 32, 1 << 16, 32},
    {"attention.kv_lora_rank", &Hparams::kv_rank, true, 32, 1 << 16, 32},
    {"attention.key_length_mla", &Hparams::latent_key, true, 16, 1024, 16},
    {"attention.value_length_mla", &Hparams::latent_value, true, 16, 1024, 16},
    {"leading_dense_block_count", &Hparams::leading_dense, false, 0, 1024},
    kExpertCount,
    kExpertsUsed,
    kExpertFfn,
    kExpertWeightsScale,
    {"expert_weights_norm", &Hparams::expert_weights_norm, false, 0, 1},
    {"expert_gating_func", &Hparams::expert_gating, false, 0, 2},
    {"expert_shared_count", &Hparams::shared_experts, true, 1, 1024},
    {"expert_group_used_count", &Hparams::expert_groups, false, 0, 1024},
    {"expert_group_count", &Hparams::expert_groups, false, 0, 1024},  // what the check is of
};

int64_t QRank(const Hparams& h, const LayerPlan&) { return h.q_rank; }
int64_t QInput(const Hparams& h, const LayerPlan&) { return h.q_rank > 0 ? h.q_rank : h.embedding; }
int64_t Keys(const Hparams& h, const LayerPlan&) { return h.num_heads * h.latent_key; }
int64_t Values(const Hparams& h, const LayerPlan&) { return h.num_heads * h.latent_value; }
int64_t Value(const Hparams& h, const LayerPlan&) { return h.latent_value; }
int64_t Latent(const Hparams& h, const LayerPlan&) { return h.kv_rank; }
int64_t StillKey(const Hparams& h, const LayerPlan&) { return h.latent_key - h.rope_dims; }

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    {"blk.%d.attn_q_a.weight", When::kLowRankQ, true, &L::q_a, {Embd, QRank}},
    {"blk.%d.attn_q_a_norm.weight", When::kLowRankQ, true, &L::q_a_norm, {QRank}},
    {"blk.%d.attn_q_b.weight", When::kLowRankQ, true, &L::q, {QInput, Keys}},
    {"blk.%d.attn_q.weight", When::kAttention, true, &L::q, {QInput, Keys}},
    {"blk.%d.attn_kv_a_mqa.weight", When::kAttention, true, &L::kv_a, {Embd, HeadDim}},
    {"blk.%d.attn_kv_a_norm.weight", When::kAttention, true, &L::kv_a_norm, {Latent}},
    {"blk.%d.attn_k_b.weight", When::kAttention, true, &L::k_b, {StillKey, Latent, Heads}},
    {"blk.%d.attn_v_b.weight", When::kAttention, true, &L::v_b, {Latent, Value, Heads}},
    {"blk.%d.attn_output.weight", When::kAttention, true, &L::o, {Values, Embd}},
    kFfnNorm,
    kGate,
    kUp,
    kDown,
    kRouter,
    {"blk.%d.exp_probs_b.bias", When::kMoe, false, &L::router_bias, {Experts}},
    kFusedGateExps,
    kFusedUpExps,
    kGateExps,
    kUpExps,
    kDownExps,
    kSharedGate,
    kSharedUp,
    kSharedDown,
};

// The converter multiplies YaRN's multiplier by this.
constexpr float kConverted = 0.1f;

// What stretches the context sharpens attention too: by the scale, and not by the rotation where
// the file gives the multiplier.
void PlanScale(Hparams& h) {
  const double all = static_cast<double>(h.yarn_log_multiplier) / kConverted;
  const double stretch = h.rope_scaling == RopeScaling::kYarn && h.rope_factor > 1.0f
                             ? 0.1 * exact::Log(h.rope_factor)
                             : 0.0;
  double magnitude = h.rope_attn_factor * (1.0 + all * stretch);
  if (all == 0.0) magnitude *= 1.0 + stretch;
  h.attention_scale =
      static_cast<float>(magnitude * magnitude) / std::sqrt(static_cast<float>(h.latent_key));
  h.yarn_log_multiplier = all == 0.0 ? 0.0f : 1.0f;
}

Status Plan(Hparams& h) {
  if (h.head_dim != h.kv_rank + h.rope_dims || h.latent_key <= h.rope_dims)
    return Status(ErrorCode::kUnsupported,
                  "attention.key_length is " + std::to_string(h.head_dim) +
                      ", but attention.kv_lora_rank and rope.dimension_count are " +
                      std::to_string(h.kv_rank) + " and " + std::to_string(h.rope_dims) +
                      ": only files for latent attention are supported",
                  "attention.key_length", "convert the model again with a recent converter");
  if (h.head_dim % 16 != 0)
    return Status(ErrorCode::kUnsupported,
                  "latent vectors of " + std::to_string(h.head_dim) +
                      " values are not supported: multiples of 16 are",
                  "deepseek2.attention.key_length");
  if (h.expert_groups > 1)
    return Status(
        ErrorCode::kUnsupported,
        std::to_string(h.expert_groups) + " groups of experts are not supported, only one",
        "deepseek2.expert_group_count");
  if (h.expert_weights_norm < 0) h.expert_weights_norm = 0;
  PlanScale(h);
  PlanExperts(h, h.leading_dense);
  for (LayerPlan& layer : h.layers) {
    layer.mixer = Mixer::kLatentAttention;
    layer.kv_heads = 1;  // the latent
    layer.shared_expert = layer.moe;
  }
  h.shared_ffn_length = h.shared_experts * h.expert_ffn_length.back();
  return Status::Ok();
}

}  // namespace

extern const Architecture deepseek2 = {
    .name = "deepseek2",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = false,
    .latent_attention = true,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
