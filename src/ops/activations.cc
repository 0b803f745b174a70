#include "ops/activations.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"

namespace lull {
namespace {

void NormRow(const Kernels& kernels, const float* x, const float* norm, float eps, size_t row,
             ActivationBuffer* out) {
  kernels.rms_norm(x, norm, eps, out->k, out->Row(row));
  out->QuantizeRow(kernels, row, 0, out->k);
}

void AddDelta(const Kernels& kernels, const ResidualNormArgs& args, size_t row, float* tmp) {
  float* x = args.x + row * args.n;
  const float* delta = args.delta + row * args.n;
  if (args.delta_bias != nullptr) {
    kernels.add(delta, args.delta_bias, args.n, tmp);
    delta = tmp;
  }
  if (args.delta_norm != nullptr) {
    kernels.rms_norm(delta, args.delta_norm, args.eps, args.n, tmp);
    delta = tmp;
  }
  kernels.add(x, delta, args.n, x);
}

}  // namespace

void ActivationBuffer::AddTo(ArenaPlan* plan, size_t max_rows, size_t max_k) {
  plan->Add(&f32, max_rows * max_k);
  plan->Add(&q, max_rows * max_k);
  plan->Add(&scale, max_rows * (max_k / 32));
  plan->Add(&scaled_sum, max_rows * (max_k / 32));
  plan->Add(&half_sums, max_rows * (max_k / 16));
}

void ActivationBuffer::QuantizeRow(const Kernels& kernels, size_t row, size_t begin, size_t end) {
  const size_t at = row * k + begin;
  kernels.quantize_row(f32 + at, end - begin, q + at, scale + at / 32, scaled_sum + at / 32,
                       half_sums + at / 16);
}

void ActivationBuffer::CopyRow(const ActivationBuffer& source, size_t from, size_t to) {
  memcpy(f32 + to * k, source.f32 + from * k, k * sizeof(float));
  memcpy(q + to * k, source.q + from * k, k);
  memcpy(scale + to * (k / 32), source.scale + from * (k / 32), k / 32 * sizeof(float));
  memcpy(scaled_sum + to * (k / 32), source.scaled_sum + from * (k / 32), k / 32 * sizeof(float));
  memcpy(half_sums + to * (k / 16), source.half_sums + from * (k / 16), k / 16 * sizeof(int32_t));
}

Activations ActivationBuffer::View() const {
  Activations view;
  view.rows = rows;
  view.k = k;
  view.f32 = f32;
  view.q = q;
  view.scale = scale;
  view.scaled_sum = scaled_sum;
  view.half_sums = half_sums;
  return view;
}

void ResidualNorm(const ExecContext& ctx, OpEnv& env, const ResidualNormArgs& args) {
  if (args.out != nullptr) {
    args.out->rows = args.rows;
    args.out->k = args.n;
  }
  const RowTiles tiles(ctx, args.rows, ElementwiseNs(env.kernels, 4 * args.n));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    const size_t end = std::min(args.rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row) {
      if (args.delta != nullptr) AddDelta(env.kernels, args, row, env.scratch.row(thread));
      if (args.out != nullptr)
        NormRow(env.kernels, args.x + row * args.n, args.norm, args.eps, row, args.out);
    }
  });
}

void GatherNorm(const ExecContext& ctx, OpEnv& env, const float* x, size_t n, const int32_t* source,
                size_t rows, const float* norm, float eps, ActivationBuffer* out) {
  out->rows = rows;
  out->k = n;
  const RowTiles tiles(ctx, rows, ElementwiseNs(env.kernels, 3 * n));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row)
      NormRow(env.kernels, x + static_cast<size_t>(source[row]) * n, norm, eps, row, out);
  });
}

void QuantizeRows(const ExecContext& ctx, OpEnv& env, ActivationBuffer* buffer) {
  const RowTiles tiles(ctx, buffer->rows, ElementwiseNs(env.kernels, 2 * buffer->k));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(buffer->rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row)
      buffer->QuantizeRow(env.kernels, row, 0, buffer->k);
  });
}

}  // namespace lull
