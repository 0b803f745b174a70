// Phi 3, 3.5 and 4: Q, K and V lie in one tensor, so do the gate and the up projection; long
// contexts have a factor for each rotary pair (LongRoPE).
#include "model/arch/common.h"

namespace lull::arch {
namespace {

// As llama.cpp does: files give a window that is not the one of training.
constexpr const char* kIgnored[] = {"attention.sliding_window"};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    {"rope_factors_long.weight", When::kModel, false, &M::rope_factors_long, {RopeHalf}},
    {"rope_factors_short.weight", When::kModel, false, &M::rope_factors, {RopeHalf}},
    kAttnNorm,
    {"blk.%d.attn_qkv.weight", When::kAttention, true, &L::q, {Embd, QDim}, First, QkvDim},
    {"blk.%d.attn_qkv.weight", When::kAttention, true, &L::k, {Embd, KvDim}, QDim, QkvDim},
    {"blk.%d.attn_qkv.weight", When::kAttention, true, &L::v, {Embd, KvDim}, VBegin, QkvDim},
    kO,
    kFfnNorm,
    kFusedGate,
    kFusedUp,
    kDown,
};

}  // namespace

extern const Architecture phi3 = {
    .name = "phi3",
    .hparams = {},
    .ignored_keys = kIgnored,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
};

}  // namespace lull::arch
