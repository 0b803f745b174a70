// One tensor on its way from safetensors to GGUF: which rows become which, and of what type.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "convert/float_type.h"

namespace lull {

// What becomes of each value.
enum class HfValues { kSame, kPlusOne, kMinusExp };

// Units are what stays together: rows of a matrix, single values of a vector.
struct Passage {
  std::vector<std::span<const uint8_t>> parts;  // one behind the other in the file, of one size
  FloatType from, to;
  HfValues values = HfValues::kSame;
  uint64_t width = 1;        // values of a unit
  uint64_t units_each = 1;   // in a row of the GGUF file
  uint64_t units_part = 0;   // that one part gives
  uint64_t units = 0;        // that a matrix of a part gives ...
  uint64_t units_all = 0;    // ... of so many
  uint64_t begin = 0;        // ... from this one on,
  uint64_t step = 1;         // every so many
  bool transposed = false;   // columns of those rows become rows, units_each 1
  uint64_t tiled_heads = 0;  // from `tiled_begin` on: that many groups of `tiled_each` heads
  uint64_t tiled_each = 1;   // of `tiled_units`, and heads become the first of each group, ...
  uint64_t tiled_units = 1;  // ... then the second of each; 0 groups: as they are
  uint64_t tiled_begin = 0;
  uint64_t head = 0;               // units of a head whose halves are interleaved; 0: as they are
  std::shared_ptr<bool> overflow;  // set where a finite value became infinite

  // Rows [first, first + count) of the GGUF file's tensor.
  void Copy(uint64_t first, uint64_t count, uint8_t* out) const;

 private:
  uint64_t Turned(uint64_t at) const;
  const uint8_t* Unit(uint64_t unit) const;
  void CopyValues(const uint8_t* in, uint8_t* out) const;
  void CopyColumn(uint64_t row, uint8_t* out) const;
  void StoreChanged(const uint8_t* in, uint8_t* out) const;
};

// Weights of four bits whose blocks of 32 and scales lie in two tensors, as GGUF's MXFP4.
struct Mxfp4Passage {
  static constexpr uint32_t kTypeId = 39;
  static constexpr uint64_t kValues = 32, kNibbleBytes = 16, kBlockBytes = 17;
  std::span<const uint8_t> blocks, scales;
  uint64_t row = 0;       // blocks of a row
  uint64_t rows = 0;      // of a matrix that are taken ...
  uint64_t rows_all = 0;  // ... of so many,
  uint64_t begin = 0;     // from this one on,
  uint64_t step = 1;      // every so many

  void Copy(uint64_t first, uint64_t count, uint8_t* out) const;
};

}  // namespace lull
