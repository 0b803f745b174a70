// Matrix products of packed weights and quantised activation rows, cut into tiles over the pool.
#pragma once

#include <cstddef>
#include <span>

#include "base/exec_context.h"
#include "kernels/kernels.h"
#include "ops/activations.h"
#include "ops/op_env.h"

namespace lull {

// out[row * out_stride + r] = w[r] . x[row] for rows [row_begin, row_end) of x, and what
// env.low_rank adds.
struct MatMulItem {
  const PackedMatrix* w = nullptr;
  const ActivationBuffer* x = nullptr;
  size_t row_begin = 0;
  size_t row_end = 0;
  float* out = nullptr;
  size_t out_stride = 0;
};
// All items in one parallel phase; one more before it where adapters have a part.
void MatMul(const ExecContext& ctx, OpEnv& env, std::span<const MatMulItem> items);
// Without adapters.
void PlainMatMul(const ExecContext& ctx, OpEnv& env, std::span<const MatMulItem> items);

// out row = act(gate . x) * (up . x), quantised, for the same rows; gate and up have one shape,
// their rows a multiple of 32 where out is read in blocks.
struct GatedItem {
  const PackedMatrix* gate = nullptr;
  const PackedMatrix* up = nullptr;
  const ActivationBuffer* x = nullptr;
  size_t row_begin = 0;
  size_t row_end = 0;
  const float* gate_bias = nullptr;  // [gate->rows] or null
  const float* up_bias = nullptr;
};
using GatedFn = void (*)(const float* gate, const float* up, size_t n, float* out);
// out->k must be gate->rows. One parallel phase; one more where out is read in super-blocks.
void GatedMatMul(const ExecContext& ctx, OpEnv& env, std::span<const GatedItem> items,
                 GatedFn activation, ActivationBuffer* out);

// Groups [group_begin, group_end) of 16 rows of w times all of x, on the calling thread:
// out[row * stride + (r - 16 * group_begin)].
void MultiplyGroups(const OpEnv& env, int thread, const PackedMatrix& w, size_t group_begin,
                    size_t group_end, const Activations& x, float* out, size_t stride);

}  // namespace lull
