// What architectures with state spaces or delta nets share.
#pragma once

#include <string>

#include "model/arch/common.h"

namespace lull::arch {

inline constexpr HparamSpec kSsmTaps = {"ssm.conv_kernel", &Hparams::conv_taps, true, 2, 64};
inline constexpr HparamSpec kSsmInner = {
    "ssm.inner_size", &Hparams::ssm_inner, true, 32, 1 << 17, 32};
inline constexpr HparamSpec kSsmState = {"ssm.state_size", &Hparams::ssm_state, true, 1, 1024};
inline constexpr HparamSpec kSsmRank = {"ssm.time_step_rank", &Hparams::ssm_time_step_rank, true, 1,
                                        1 << 16};
inline constexpr HparamSpec kSsmGroups = {"ssm.group_count", &Hparams::ssm_groups, true, 1, 4096};

// Written by converters for models without attention.
inline constexpr NeutralKey kAttentionFreeKeys[] = {
    {"feed_forward_length", 0},
    {"attention.head_count", 0},
    {"attention.head_count_kv", 0},
    {"ssm.dt_b_c_rms", 0},
};

inline int64_t SsmInner(const Hparams& h, const LayerPlan&) { return h.ssm_inner; }
inline int64_t SsmRank(const Hparams& h, const LayerPlan&) { return h.ssm_time_step_rank; }
inline int64_t SsmState(const Hparams& h, const LayerPlan&) { return h.ssm_state; }
inline int64_t SsmGroups(const Hparams& h, const LayerPlan&) { return h.ssm_groups; }
inline int64_t SsmGroup(const Hparams& h, const LayerPlan&) { return h.ssm_inner / h.ssm_groups; }
inline int64_t Mamba2Channels(const Hparams& h, const LayerPlan&) {
  return h.ssm_inner + 2 * h.ssm_groups * h.ssm_state;
}
inline int64_t Mamba2Projected(const Hparams& h, const LayerPlan& l) {
  return h.ssm_inner + Mamba2Channels(h, l) + h.ssm_time_step_rank;
}

inline constexpr TensorSpec kMamba2In = {
    "blk.%d.ssm_in.weight", When::kRecurrent, true, &L::conv_in, {Embd, Mamba2Projected}};
inline constexpr TensorSpec kMamba2Conv = {
    "blk.%d.ssm_conv1d.weight", When::kRecurrent, true, &L::conv, {Taps, Mamba2Channels}};
inline constexpr TensorSpec kMamba2ConvBias = {
    "blk.%d.ssm_conv1d.bias", When::kRecurrent, false, &L::conv_bias, {Mamba2Channels}};
inline constexpr TensorSpec kMamba2A = {
    "blk.%d.ssm_a", When::kRecurrent, true, &L::ssm_a, {One, SsmRank}};
inline constexpr TensorSpec kMamba2D = {
    "blk.%d.ssm_d", When::kRecurrent, true, &L::ssm_d, {One, SsmRank}};
inline constexpr TensorSpec kSsmNorm = {
    "blk.%d.ssm_norm.weight", When::kRecurrent, true, &L::ssm_norm, {SsmGroup, SsmGroups}};
inline constexpr TensorSpec kSsmHeadBias = {
    "blk.%d.ssm_dt.bias", When::kRecurrent, true, &L::ssm_dt_bias, {SsmRank}};
inline constexpr TensorSpec kSsmOut = {
    "blk.%d.ssm_out.weight", When::kRecurrent, true, &L::conv_out, {SsmInner, Embd}};

// `part` must divide `whole`.
inline Status CheckDivides(int64_t part, const char* part_key, int64_t whole,
                           const char* whole_key) {
  if (part > 0 && whole % part == 0) return Status::Ok();
  return Status(ErrorCode::kInvalidModel,
                std::string(part_key) + " is " + std::to_string(part) + ", which does not divide " +
                    whole_key + " = " + std::to_string(whole),
                part_key);
}

inline Status CheckMamba2(const Hparams& h) {
  LULL_RETURN_IF_ERROR(
      CheckDivides(h.ssm_time_step_rank, kSsmRank.key, h.ssm_inner, kSsmInner.key));
  LULL_RETURN_IF_ERROR(CheckDivides(h.ssm_groups, kSsmGroups.key, h.ssm_inner, kSsmInner.key));
  return CheckDivides(h.ssm_groups, kSsmGroups.key, h.ssm_time_step_rank, kSsmRank.key);
}

}  // namespace lull::arch
