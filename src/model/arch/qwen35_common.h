// What Qwen 3.5's dense and mixture models share: gated delta nets, and every fourth layer gated
// attention whose heads rotate in part. Text alone: the three positions of images' tokens are one.
#pragma once

#include "model/arch/ssm_common.h"

namespace lull::arch {

inline constexpr HparamSpec kFullInterval = {"full_attention_interval",
                                             &Hparams::full_attention_interval, false, 1, 1024};
inline constexpr HparamSpec kRecurrentLayers = {"attention.recurrent_layers",
                                                &Hparams::recurrent_layers, false, 0, 1};
inline constexpr const char* kQwen35Ignored[] = {"rope.dimension_sections"};

inline int64_t TwoQDim(const Hparams& h, const LayerPlan& l) { return 2 * h.q_dim(l); }
inline int64_t DeltaChannels(const Hparams& h, const LayerPlan&) {
  return (2 * h.ssm_groups + h.ssm_time_step_rank) * h.ssm_state;
}

inline constexpr TensorSpec kGatedQ = {
    "blk.%d.attn_q.weight", When::kAttention, true, &L::q, {Embd, TwoQDim}};
// Before the feed-forward, in spite of its name.
inline constexpr TensorSpec kQwen35FfnNorm = {
    "blk.%d.post_attention_norm.weight", When::kEveryLayer, true, &L::ffn_norm, {Embd}};
inline constexpr TensorSpec kDeltaIn = {
    "blk.%d.attn_qkv.weight", When::kRecurrent, true, &L::conv_in, {Embd, DeltaChannels}};
inline constexpr TensorSpec kDeltaGate = {
    "blk.%d.attn_gate.weight", When::kRecurrent, true, &L::attn_gate, {Embd, SsmInner}};
inline constexpr TensorSpec kDeltaConv = {
    "blk.%d.ssm_conv1d.weight", When::kRecurrent, true, &L::conv, {Taps, DeltaChannels}};
inline constexpr TensorSpec kDeltaA = {
    "blk.%d.ssm_a", When::kRecurrent, true, &L::ssm_a, {SsmRank}};
inline constexpr TensorSpec kDeltaBeta = {
    "blk.%d.ssm_beta.weight", When::kRecurrent, true, &L::delta_beta, {Embd, SsmRank}};
inline constexpr TensorSpec kDeltaAlpha = {
    "blk.%d.ssm_alpha.weight", When::kRecurrent, true, &L::delta_alpha, {Embd, SsmRank}};
inline constexpr TensorSpec kDeltaNorm = {
    "blk.%d.ssm_norm.weight", When::kRecurrent, true, &L::ssm_norm, {SsmState}};

inline Status PlanDeltaLayers(Hparams& h) {
  constexpr int64_t kDefaultInterval = 4;
  const int64_t interval =
      h.full_attention_interval > 0 ? h.full_attention_interval : kDefaultInterval;
  for (int64_t i = 0; i < h.num_layers; ++i) {
    const bool recurrent =
        h.recurrent_layers.empty() ? (i + 1) % interval != 0 : h.recurrent_layers[i] != 0;
    if (recurrent) h.layers[i].mixer = Mixer::kDeltaNet;
  }
  LULL_RETURN_IF_ERROR(
      CheckDivides(h.ssm_groups, kSsmGroups.key, h.ssm_time_step_rank, kSsmRank.key));
  if (h.ssm_inner == h.ssm_time_step_rank * h.ssm_state) return Status::Ok();
  return Status(ErrorCode::kInvalidModel,
                std::string(kSsmInner.key) + " is " + std::to_string(h.ssm_inner) + ", but " +
                    kSsmRank.key + " heads of " + kSsmState.key + " make " +
                    std::to_string(h.ssm_time_step_rank * h.ssm_state),
                kSsmInner.key);
}

}  // namespace lull::arch
