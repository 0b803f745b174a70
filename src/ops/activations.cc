#include "ops/activations.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "ops/op_env.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

void NormRow(const OpEnv& env, const float* x, const float* norm, float eps, size_t row,
             ActivationBuffer* out) {
  if (norm != nullptr) {
    env.norm(x, norm, eps, out->k, out->Row(row));
  } else {
    memcpy(out->Row(row), x, out->k * sizeof(float));
  }
  out->QuantizeRow(env.kernels, row);
}

void AddDelta(const OpEnv& env, const ResidualNormArgs& args, size_t row, float* tmp) {
  const Kernels& kernels = env.kernels;
  float* x = args.x + row * args.n;
  const float* delta = args.delta + row * args.n;
  if (args.delta_bias != nullptr) {
    kernels.add(delta, args.delta_bias, args.n, tmp);
    delta = tmp;
  }
  if (args.delta_norm != nullptr) {
    env.norm(delta, args.delta_norm, args.eps, args.n, tmp);
    delta = tmp;
  }
  if (args.delta_scale == 1.0f) {
    kernels.add(x, delta, args.n, x);
  } else {
    kernels.fma_scalar(delta, args.delta_scale, args.n, x);
  }
  if (args.x_scale != 1.0f) kernels.mul_scalar(x, args.x_scale, args.n, x);
}

template <typename Fn>
void ForEachRow(const ExecContext& ctx, const OpEnv& env, const ActivationBuffer& buffer, Fn&& fn) {
  const RowTiles tiles(ctx, buffer.rows, ElementwiseNs(env.kernels, 2 * buffer.k));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(buffer.rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row) fn(row);
  });
}

}  // namespace

void ActivationBuffer::AddTo(ArenaPlan* plan, size_t max_rows, size_t max_k) {
  plan->Add(&f32, max_rows * max_k);
  plan->Add(&q, max_rows * max_k);
  plan->Add(&scale, max_rows * (max_k / 32));
  plan->Add(&scaled_sum, max_rows * (max_k / 32));
  plan->Add(&half_sums, max_rows * (max_k / 16));
  plan->Add(&super_q, max_rows * max_k);
  plan->Add(&super_scale, max_rows * (max_k / 256));
  plan->Add(&sums32, max_rows * (max_k / 32));
  plan->Add(&sums16, max_rows * (max_k / 16));
}

void ActivationBuffer::SetReaders(std::initializer_list<const PackedMatrix*> readers) {
  has_blocks = has_super_blocks = false;
  for (const PackedMatrix* reader : readers) AddReader(*reader);
}

void ActivationBuffer::AddReader(const PackedMatrix& reader) {
  const ActivationForm form = reader.format->activations;
  const bool is_super = form == ActivationForm::kBlocksOrSuperBlocks && wide_blocks;
  has_super_blocks |= is_super;
  has_blocks |= form != ActivationForm::kF32 && !is_super;
}

void ActivationBuffer::QuantizeRow(const Kernels& kernels, size_t row) {
  QuantizeBlocks(kernels, row, 0, k);
  QuantizeSuperBlocks(kernels, row);
}

void ActivationBuffer::QuantizeSuperBlocks(const Kernels& kernels, size_t row) {
  if (!has_super_blocks) return;
  const size_t at = row * k;
  kernels.quantize_super_row(f32 + at, k, super_q + at, super_scale + at / 256, sums32 + at / 32,
                             sums16 + at / 16);
}

void ActivationBuffer::QuantizeBlocks(const Kernels& kernels, size_t row, size_t begin,
                                      size_t end) {
  if (!has_blocks) return;
  const size_t at = row * k + begin;
  kernels.quantize_row(f32 + at, end - begin, q + at, scale + at / 32, scaled_sum + at / 32,
                       half_sums + at / 16);
}

void ActivationBuffer::CopyRow(const ActivationBuffer& source, size_t from, size_t to) {
  const auto copy = [&](auto* into, const auto* out_of, size_t values_each) {
    const size_t n = k / values_each;
    memcpy(into + to * n, out_of + from * n, n * sizeof(*into));
  };
  copy(f32, source.f32, 1);
  if (has_blocks) {
    copy(q, source.q, 1);
    copy(scale, source.scale, 32);
    copy(scaled_sum, source.scaled_sum, 32);
    copy(half_sums, source.half_sums, 16);
  }
  if (has_super_blocks) {
    copy(super_q, source.super_q, 1);
    copy(super_scale, source.super_scale, 256);
    copy(sums32, source.sums32, 32);
    copy(sums16, source.sums16, 16);
  }
}

ActivationBuffer ActivationBuffer::Part(size_t row_begin, size_t part_rows) const {
  const size_t at = row_begin * k;
  ActivationBuffer part = *this;
  part.rows = part_rows;
  part.f32 += at;
  part.q += at;
  part.scale += at / 32;
  part.scaled_sum += at / 32;
  part.half_sums += at / 16;
  part.super_q += at;
  part.super_scale += at / 256;
  part.sums32 += at / 32;
  part.sums16 += at / 16;
  return part;
}

Activations ActivationBuffer::View(size_t row_begin, size_t row_end) const {
  const size_t at = row_begin * k;
  Activations view;
  view.rows = row_end - row_begin;
  view.k = k;
  view.f32 = f32 + at;
  view.q = q + at;
  view.scale = scale + at / 32;
  view.scaled_sum = scaled_sum + at / 32;
  view.half_sums = half_sums + at / 16;
  if (!has_super_blocks) return view;
  view.super_q = super_q + at;
  view.super_scale = super_scale + at / 256;
  view.sums32 = sums32 + at / 32;
  view.sums16 = sums16 + at / 16;
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
      if (args.delta != nullptr) AddDelta(env, args, row, env.scratch.row(thread));
      if (args.out != nullptr)
        NormRow(env, args.x + row * args.n, args.norm, args.eps, row, args.out);
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
      NormRow(env, x + static_cast<size_t>(source[row]) * n, norm, eps, row, out);
  });
}

void QuantizeRows(const ExecContext& ctx, OpEnv& env, ActivationBuffer* buffer) {
  ForEachRow(ctx, env, *buffer, [&](size_t row) { buffer->QuantizeRow(env.kernels, row); });
}

void QuantizeSuperRows(const ExecContext& ctx, OpEnv& env, ActivationBuffer* buffer) {
  ForEachRow(ctx, env, *buffer, [&](size_t row) { buffer->QuantizeSuperBlocks(env.kernels, row); });
}

}  // namespace lull
