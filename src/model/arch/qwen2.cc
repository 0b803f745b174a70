// Qwen 2 and 2.5 (dense): Llama's block with biases on Q, K and V.
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    kQ,
    kK,
    kV,
    kO,
    {"blk.%d.attn_q.bias", When::kAttention, true, &L::q_bias, {QDim}},
    {"blk.%d.attn_k.bias", When::kAttention, true, &L::k_bias, {KvDim}},
    {"blk.%d.attn_v.bias", When::kAttention, true, &L::v_bias, {KvDim}},
    kFfnNorm,
    kGate,
    kUp,
    kDown,
};

}  // namespace

extern const Architecture qwen2 = {
    .name = "qwen2",
    .hparams = {},
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
};

}  // namespace lull::arch
