// Dimensions, keys and tensors that decoder architectures share.
#pragma once

#include "model/architecture.h"

namespace lull::arch {

inline int64_t Embd(const Hparams& h, const LayerPlan&) { return h.embedding; }
inline int64_t Embd3(const Hparams& h, const LayerPlan&) { return 3 * h.embedding; }
inline int64_t Vocab(const Hparams& h, const LayerPlan&) { return h.vocab; }
inline int64_t QDim(const Hparams& h, const LayerPlan&) { return h.q_dim(); }
inline int64_t KvDim(const Hparams& h, const LayerPlan& l) { return l.kv_heads * h.head_dim; }
inline int64_t HeadDim(const Hparams& h, const LayerPlan&) { return h.head_dim; }
inline int64_t RopeHalf(const Hparams& h, const LayerPlan&) { return h.rope_dims / 2; }
inline int64_t Ffn(const Hparams&, const LayerPlan& l) { return l.ffn_length; }
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
inline constexpr TensorSpec kFfnNorm = {
    "blk.%d.ffn_norm.weight", When::kEveryLayer, true, &L::ffn_norm, {Embd}};
inline constexpr TensorSpec kGate = {
    "blk.%d.ffn_gate.weight", When::kDense, true, &L::gate, {Embd, Ffn}};
inline constexpr TensorSpec kUp = {"blk.%d.ffn_up.weight", When::kDense, true, &L::up, {Embd, Ffn}};
inline constexpr TensorSpec kDown = {
    "blk.%d.ffn_down.weight", When::kDense, true, &L::down, {Ffn, Embd}};
inline constexpr TensorSpec kRouter = {
    "blk.%d.ffn_gate_inp.weight", When::kMoe, true, &L::router, {Embd, Experts}};
inline constexpr TensorSpec kGateExps = {
    "blk.%d.ffn_gate_exps.weight", When::kMoe, true, &L::gate_experts, {Embd, Ffn, Experts}};
inline constexpr TensorSpec kUpExps = {
    "blk.%d.ffn_up_exps.weight", When::kMoe, true, &L::up_experts, {Embd, Ffn, Experts}};
inline constexpr TensorSpec kDownExps = {
    "blk.%d.ffn_down_exps.weight", When::kMoe, true, &L::down_experts, {Ffn, Embd, Experts}};

}  // namespace lull::arch
