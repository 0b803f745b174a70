// Buffers of quantised activation rows, and the row-wise steps that fill them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/arena.h"
#include "kernels/kernels.h"

namespace lull {

struct ExecContext;
struct OpEnv;

// Room for max_rows rows of up to max_k values, in the caller's arena.
struct ActivationBuffer {
  float* f32 = nullptr;
  int8_t* q = nullptr;
  float* scale = nullptr;
  float* scaled_sum = nullptr;
  int32_t* half_sums = nullptr;
  int8_t* super_q = nullptr;
  float* super_scale = nullptr;
  int16_t* sums32 = nullptr;
  int16_t* sums16 = nullptr;
  size_t k = 0;  // of the rows now inside
  size_t rows = 0;
  bool wide_blocks = false;  // K-quants are to read super-blocks; set once, before all else
  bool has_blocks = true, has_super_blocks = false;  // which quantised forms are filled

  void AddTo(ArenaPlan* plan, size_t max_rows, size_t max_k);
  float* Row(size_t row) { return f32 + row * k; }
  // The forms that products with these matrices read, and no others, are filled from now on.
  void SetReaders(std::initializer_list<const PackedMatrix*> readers);
  void AddReader(const PackedMatrix& reader);
  // Quantises a row to the forms that are read.
  void QuantizeRow(const Kernels& kernels, size_t row);
  // Values [begin, end) of a row alone, multiples of 32, to blocks of 32 where those are read.
  void QuantizeBlocks(const Kernels& kernels, size_t row, size_t begin, size_t end);
  void QuantizeSuperBlocks(const Kernels& kernels, size_t row);
  // Row `to` of this buffer becomes row `from` of another with the same k, which has all the forms
  // of this one.
  void CopyRow(const ActivationBuffer& source, size_t from, size_t to);
  // Rows [row_begin, row_begin + part_rows) of k values as a buffer of their own.
  ActivationBuffer Part(size_t row_begin, size_t part_rows) const;
  Activations View(size_t row_begin, size_t row_end) const;
};

// x += delta (+ bias, or through its own norm), then out = norm(x), quantised. Norms are
// env.norm's.
struct ResidualNormArgs {
  float* x = nullptr;  // [rows, n], updated in place where delta is set
  size_t rows = 0;
  size_t n = 0;
  const float* delta = nullptr;       // [rows, n] or null
  const float* delta_bias = nullptr;  // [n] or null
  const float* delta_norm = nullptr;  // [n] or null: x += norm(delta) * delta_norm
  const float* norm = nullptr;        // [n]; null: out = x
  float eps = 0.0f;
  ActivationBuffer* out = nullptr;  // null: only the addition
  float delta_scale = 1.0f;         // of what is added, after its norm
  float x_scale = 1.0f;             // of x, after the addition
};
void ResidualNorm(const ExecContext& ctx, OpEnv& env, const ResidualNormArgs& args);

// out row i = norm(x row source[i]), quantised. Rows may repeat.
void GatherNorm(const ExecContext& ctx, OpEnv& env, const float* x, size_t n, const int32_t* source,
                size_t rows, const float* norm, float eps, ActivationBuffer* out);

// Quantises rows whose f32 part is filled; or to super-blocks alone.
void QuantizeRows(const ExecContext& ctx, OpEnv& env, ActivationBuffer* buffer);
void QuantizeSuperRows(const ExecContext& ctx, OpEnv& env, ActivationBuffer* buffer);

}  // namespace lull
