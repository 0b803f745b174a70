// The kernels of each instruction set; what they compute: kernels/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

#define LULL_ISA_ROW(ns, isa, name)                                                            \
  namespace lull::ns {                                                                         \
  void QuantizeRow(const float* x, size_t k, int8_t* q, float* scale, float* scaled_sum,       \
                   int32_t* half_sums);                                                        \
  void QuantizeSuperRow(const float* x, size_t k, int8_t* q, float* scale, int16_t* sums32,    \
                        int16_t* sums16);                                                      \
  void RmsNorm(const float* x, const float* weight, float eps, size_t n, float* out);          \
  void LayerNorm(const float* x, const float* weight, float eps, size_t n, float* out);        \
  void AddVectors(const float* a, const float* b, size_t n, float* out);                       \
  void MulScalar(const float* x, float s, size_t n, float* out);                               \
  void FmaScalar(const float* x, float s, size_t n, float* out);                               \
  void SwiGlu(const float* gate, const float* up, size_t n, float* out);                       \
  void GeGlu(const float* gate, const float* up, size_t n, float* out);                        \
  void ClampedSwiGlu(const float* gate, const float* up, size_t n, float* out);                \
  void SiluVector(const float* x, size_t n, float* out);                                       \
  void ExpVector(const float* x, size_t n, float* out);                                        \
  void SoftplusVector(const float* x, size_t n, float* out);                                   \
  void DiagonalScan(float* state, const float* rate, const float* width, const float* x,       \
                    const float* b, const float* c, size_t channels, size_t n,                 \
                    const float* skip, float* y);                                              \
  void ScalarScan(float* state, float decay, float width, const float* x, const float* b,      \
                  const float* c, size_t dim, size_t n, float skip, float* y);                 \
  void DeltaStep(float* state, float decay, float share, const float* q, const float* k,       \
                 const float* v, size_t dim, float* out);                                      \
  void SigmoidVector(const float* x, size_t n, float* out);                                    \
  void SoftCap(const float* x, float cap, size_t n, float* out);                               \
  void Rope(float* head, const float* cos, const float* sin, size_t half, bool neox);          \
  void ShortConv(const float* window, const float* weight, size_t taps, size_t n, float* out); \
  void Softmax(const float* x, size_t n, float* out);                                          \
  size_t ArgMax(const float* x, size_t n);                                                     \
  void KvWrite(KvType type, KvPage page, size_t slot, const float* k, const float* v,          \
               size_t head_dim);                                                               \
  void KvWiden(KvType type, KvPage page, size_t head_dim, float* k, float* v);                 \
  void AttentionBegin(const AttentionArgs& args, AttentionState state);                        \
  void AttentionPages(const AttentionArgs& args, size_t page_begin, size_t page_end,           \
                      AttentionState state);                                                   \
  void AttentionEnd(const AttentionArgs& args, AttentionState state);                          \
  }
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
