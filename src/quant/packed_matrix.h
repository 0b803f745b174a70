// A weight matrix in the interleaved layout the kernels read: groups of 16 rows, one SIMD lane per
// row, blocks along K. See docs/design/arithmetic.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull {

struct QuantFormat;

// [rows, k]; rows are padded with zeros to a multiple of 16 inside `data`.
struct PackedMatrix {
  const QuantFormat* format = nullptr;
  size_t rows = 0;
  size_t k = 0;
  size_t group_bytes = 0;         // bytes of one group of 16 rows
  const uint8_t* data = nullptr;  // 64-byte aligned; not owned

  size_t groups() const { return (rows + 15) / 16; }
  size_t packed_bytes() const { return groups() * group_bytes; }
};

}  // namespace lull
