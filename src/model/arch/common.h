// Dimensions, keys and tensors that decoder architectures share.
#pragma once

#include "model/architecture.h"

namespace lull::arch {

inline int64_t Embd(const Hparams& h, const LayerPlan&) { return h.embedding; }
inline int64_t Embd3(const Hparams& h, const LayerPlan&) { return 3 * h.embedding; }
inline int64_t Vocab(const Hparams& h, const LayerPlan&) { return h.vocab; }
inline int64_t QDim(const Hparams& h, const LayerPlan& l) { return h.q_dim(l); }
inline int64_t KvDim(const Hparams&, const LayerPlan& l) { return l.kv_heads * l.head_dim; }
inline int64_t Heads(const Hparams& h, const LayerPlan&) { return h.num_heads; }
inline int64_t HeadDim(const Hparams&, const LayerPlan& l) { return l.head_dim; }
inline int64_t QkvDim(const Hparams& h, const LayerPlan& l) {
  return h.q_dim(l) + 2 * l.kv_heads * l.head_dim;
}
inline int64_t VBegin(const Hparams& h, const LayerPlan& l) {
  return h.q_dim(l) + l.kv_heads * l.head_dim;
}
inline int64_t One(const Hparams&, const LayerPlan&) { return 1; }
inline int64_t First(const Hparams&, const LayerPlan&) { return 0; }
inline int64_t RopeHalf(const Hparams& h, const LayerPlan&) { return h.rope_dims / 2; }
inline int64_t Ffn(const Hparams&, const LayerPlan& l) { return l.ffn_length; }
inline int64_t TwoFfn(const Hparams&, const LayerPlan& l) { return 2 * l.ffn_length; }
inline int64_t SharedFfn(const Hparams& h, const LayerPlan&) { return h.shared_ffn_length; }
inline int64_t Experts(const Hparams& h, const LayerPlan&) { return h.num_experts; }
inline int64_t Taps(const Hparams& h, const LayerPlan&) { return h.conv_taps; }

using L = LayerWeights;
using M = ModelWeights;

inline constexpr TensorSpec kTokenEmbd = {
    "token_embd.weight", When::kModel, true, &M::token_embd, {Embd, Vocab}};
// Absent where the head is tied to the embedding.
inline constexpr TensorSpec kOutput = {
    "output.weight", When::kModel, false, &M::output, {Embd, Vocab}};
inline constexpr TensorSpec kOutputNorm = {
    "output_norm.weight", When::kModel, true, &M::output_norm, {Embd}};
inline constexpr TensorSpec kAttnNorm = {
    "blk.%d.attn_norm.weight", When::kEveryLayer, true, &L::attn_norm, {Embd}};
inline constexpr TensorSpec kQ = {
    "blk.%d.attn_q.weight", When::kAttention, true, &L::q, {Embd, QDim}};
inline constexpr TensorSpec kK = {
    "blk.%d.attn_k.weight", When::kAttention, true, &L::k, {Embd, KvDim}};
inline constexpr TensorSpec kV = {
    "blk.%d.attn_v.weight", When::kAttention, true, &L::v, {Embd, KvDim}};
inline constexpr TensorSpec kO = {
    "blk.%d.attn_output.weight", When::kAttention, true, &L::o, {QDim, Embd}};
inline constexpr TensorSpec kQNorm = {
    "blk.%d.attn_q_norm.weight", When::kAttention, true, &L::q_norm, {HeadDim}};
inline constexpr TensorSpec kKNorm = {
    "blk.%d.attn_k_norm.weight", When::kAttention, true, &L::k_norm, {HeadDim}};
inline constexpr TensorSpec kAttnPostNorm = {
    "blk.%d.post_attention_norm.weight", When::kEveryLayer, true, &L::attn_post_norm, {Embd}};
inline constexpr TensorSpec kFfnPostNorm = {
    "blk.%d.post_ffw_norm.weight", When::kEveryLayer, true, &L::ffn_post_norm, {Embd}};
inline constexpr TensorSpec kQBias = {
    "blk.%d.attn_q.bias", When::kAttention, false, &L::q_bias, {QDim}};
inline constexpr TensorSpec kKBias = {
    "blk.%d.attn_k.bias", When::kAttention, false, &L::k_bias, {KvDim}};
inline constexpr TensorSpec kVBias = {
    "blk.%d.attn_v.bias", When::kAttention, false, &L::v_bias, {KvDim}};
inline constexpr TensorSpec kOBias = {
    "blk.%d.attn_output.bias", When::kAttention, false, &L::o_bias, {Embd}};
inline constexpr TensorSpec kRopeFactors = {
    "rope_freqs.weight", When::kModel, false, &M::rope_factors, {RopeHalf}};
inline constexpr TensorSpec kFfnNorm = {
    "blk.%d.ffn_norm.weight", When::kEveryLayer, true, &L::ffn_norm, {Embd}};
inline constexpr TensorSpec kGate = {
    "blk.%d.ffn_gate.weight", When::kDense, true, &L::gate, {Embd, Ffn}};
inline constexpr TensorSpec kUp = {"blk.%d.ffn_up.weight", When::kDense, true, &L::up, {Embd, Ffn}};
inline constexpr TensorSpec kDown = {
    "blk.%d.ffn_down.weight", When::kDense, true, &L::down, {Ffn, Embd}};
// Gate and up projection in one tensor.
inline constexpr TensorSpec kFusedGate = {
    "blk.%d.ffn_up.weight", When::kDense, true, &L::gate, {Embd, Ffn}, First, TwoFfn};
inline constexpr TensorSpec kFusedUp = {
    "blk.%d.ffn_up.weight", When::kDense, true, &L::up, {Embd, Ffn}, Ffn, TwoFfn};
inline constexpr TensorSpec kRouter = {
    "blk.%d.ffn_gate_inp.weight", When::kMoe, true, &L::router, {Embd, Experts}};
inline constexpr TensorSpec kGateExps = {
    "blk.%d.ffn_gate_exps.weight", When::kMoe, true, &L::gate_experts, {Embd, Ffn, Experts}};
inline constexpr TensorSpec kUpExps = {
    "blk.%d.ffn_up_exps.weight", When::kMoe, true, &L::up_experts, {Embd, Ffn, Experts}};
inline constexpr TensorSpec kDownExps = {
    "blk.%d.ffn_down_exps.weight", When::kMoe, true, &L::down_experts, {Ffn, Embd, Experts}};

// Either a tensor of gates and ups, or one of each.
inline constexpr TensorSpec kFusedGateExps = {"blk.%d.ffn_gate_up_exps.weight",
                                              When::kMoe,
                                              false,
                                              &L::gate_experts,
                                              {Embd, Ffn, Experts},
                                              First,
                                              TwoFfn};
inline constexpr TensorSpec kFusedUpExps = {"blk.%d.ffn_gate_up_exps.weight",
                                            When::kMoe,
                                            false,
                                            &L::up_experts,
                                            {Embd, Ffn, Experts},
                                            Ffn,
                                            TwoFfn};
inline constexpr TensorSpec kSharedGate = {
    "blk.%d.ffn_gate_shexp.weight", When::kSharedExpert, true, &L::shared_gate, {Embd, SharedFfn}};
inline constexpr TensorSpec kSharedUp = {
    "blk.%d.ffn_up_shexp.weight", When::kSharedExpert, true, &L::shared_up, {Embd, SharedFfn}};
inline constexpr TensorSpec kSharedDown = {
    "blk.%d.ffn_down_shexp.weight", When::kSharedExpert, true, &L::shared_down, {SharedFfn, Embd}};

inline constexpr HparamSpec kExpertCount = {"expert_count", &Hparams::num_experts, true, 1, 1024};
inline constexpr HparamSpec kExpertsUsed = {"expert_used_count", &Hparams::experts_used, true, 1,
                                            1024};
inline constexpr HparamSpec kExpertFfn = {"expert_feed_forward_length", &Hparams::expert_ffn_length,
                                          true, 1, 1 << 20};
inline constexpr HparamSpec kDraftLayers = {"nextn_predict_layers", &Hparams::draft_layers, false,
                                            0, 1024};
inline constexpr HparamSpec kExpertWeightsScale = {"expert_weights_scale",
                                                   &Hparams::expert_weights_scale, false, 0, 1e4};

// Every layer from `first` on is a mixture of experts of expert_feed_forward_length.
inline void PlanExperts(Hparams& h, int64_t first) {
  for (int64_t i = first; i < h.num_layers; ++i) {
    h.layers[i].moe = true;
    h.layers[i].ffn_length = h.expert_ffn_length[i];
  }
}

}  // namespace lull::arch
