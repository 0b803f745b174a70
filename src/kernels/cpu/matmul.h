// Matrix products of each instruction set. Arithmetic: docs/design/arithmetic.md, "Matrix
// products".
#pragma once

#include <cstddef>

#include "kernels/kernels.h"
#include "quant/packed_matrix.h"

// out[c * out_stride + r] = sum_k w[r, k] * x[c, k] for rows r of the groups [group_begin,
// group_end) and activation rows c in [row_begin, row_end). Writes only r < w.rows. scratch:
// 64-byte aligned, MatMulScratchBytes(w) bytes, private to the calling thread. Every split of the
// groups and of the rows gives the same bits. Requires: x.k == w.k, and the parts of x that w's
// format reads.
#define LULL_ISA_ROW(ns, isa, name)                                                              \
  namespace lull::ns {                                                                           \
  void MatMul(const PackedMatrix& w, size_t group_begin, size_t group_end, const Activations& x, \
              size_t row_begin, size_t row_end, float* out, size_t out_stride, void* scratch);   \
  size_t MatMulScratchBytes(const PackedMatrix& w);                                              \
  }
#include "simd/isa_list.inc"
LULL_ISA_ROW(amx, kAmx, "amx")
#undef LULL_ISA_ROW
