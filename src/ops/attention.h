// Rotation, KV writes and attention for rows of many sequences at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/exec_context.h"
#include "kernels/kernels.h"
#include "ops/activations.h"
#include "ops/op_env.h"

namespace lull {

// Where one layer's K and V lie inside the pages of a pool.
struct KvView {
  uint8_t* base = nullptr;  // page i begins at base + i * page_bytes
  size_t page_bytes = 0;
  size_t offset = 0;      // of the layer inside a page; head h at + 2 * h * head_bytes, K then V
  size_t head_bytes = 0;  // KvHeadBytes
  KvType type = KvType::kF16;

  KvPage Page(int32_t page, size_t head) const {
    uint8_t* k = base + static_cast<size_t>(page) * page_bytes + offset + 2 * head * head_bytes;
    return {k, k + head_bytes};
  }
};

// One row's place: the block table of its sequence and its position there.
struct RowPlace {
  const int32_t* pages = nullptr;  // pages[i] holds positions [(first_page + i) * 64, ...)
  int64_t first_page = 0;
  int64_t position = 0;
};

// Pages hold heads in whole vectors of 16 values, the last filled up with zeros, which change no
// dot product; and so does Q on its way from RotateAndStore to Attention.
constexpr size_t PaddedHeadDim(size_t head_dim) { return (head_dim + 15) / 16 * 16; }

struct HeadShape {
  size_t num_heads = 0;
  size_t num_kv_heads = 0;
  size_t head_dim = 0;

  size_t padded_dim() const { return PaddedHeadDim(head_dim); }
  size_t q_stride() const { return num_heads * padded_dim(); }
};

// In place: q and k get bias, norm and rotation; then K and V are written to their pages, and heads
// of q are padded.
struct RotateStoreArgs {
  HeadShape shape;
  float* q = nullptr;  // [rows, q_stride]: num_heads * head_dim, then [num_heads, padded_dim]
  float* k = nullptr;  // [rows, num_kv_heads * head_dim]
  float* v = nullptr;
  const float* q_bias = nullptr;  // null: none
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* q_norm = nullptr;  // [head_dim]; null: none
  const float* k_norm = nullptr;
  bool whole_norms = false;  // q_norm is [num_heads * head_dim], over all heads together; so k_norm
  bool norm_values = false;  // each head of v is normed, without a weight
  float eps = 0.0f;
  const float* cos = nullptr;  // [rows, half]
  const float* sin = nullptr;
  size_t half = 0;  // 0: no rotation
  bool neox = false;
  const float* q_scale = nullptr;  // [rows]; null: none
  KvView kv;
};
void RotateAndStore(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
                    const RotateStoreArgs& args);

struct AttentionOpArgs {
  HeadShape shape;
  const float* q = nullptr;  // [rows, num_heads, padded_dim]
  float scale = 1.0f;
  float softcap = 0.0f;          // 0: none
  const float* sinks = nullptr;  // [num_heads], AttentionArgs::sinks; null: none
  int64_t window = 0;            // 0: all earlier positions
  KvView kv;
  // Row i: attention of source[i], [num_heads * head_dim], f32 part only. Has room for q_stride.
  ActivationBuffer* out = nullptr;
};
// source[i]: index into rows (and q) of output row i.
void Attention(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
               std::span<const int32_t> source, const AttentionOpArgs& args);

}  // namespace lull
