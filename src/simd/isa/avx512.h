// AVX-512 (F, BW, DQ, VL, VNNI, VBMI): one zmm per 16 lanes. Meanings: scalar.h.
#pragma once

#include "simd/targets.h"

LULL_BEGIN_TARGET(LULL_TARGET_avx512)
namespace lull::avx512 {

inline constexpr double kMacsPerUs = 120000;
// Matrix product tiles: groups of 16 weight rows by activation rows that fill the registers.
inline constexpr int kTileGroups = 2, kTileCols = 6, kStreamGroups = 4;
inline constexpr int kTileUnroll = 16;

// F32 values that fit the register file.
inline constexpr int kF32Registers = 32;

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct U8 {
  __m512i v;
};

LULL_INLINE __mmask16 FirstLanes(size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

// --- f32 ---
LULL_INLINE F32 LoadF32(const float* p) { return {_mm512_loadu_ps(p)}; }
LULL_INLINE void StoreF32(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
LULL_INLINE F32 LoadF32Partial(const float* p, size_t n) {
  return {_mm512_maskz_loadu_ps(FirstLanes(n), p)};
}
LULL_INLINE void StoreF32Partial(float* p, F32 a, size_t n) {
  _mm512_mask_storeu_ps(p, FirstLanes(n), a.v);
}
LULL_INLINE F32 Set1(float x) { return {_mm512_set1_ps(x)}; }
LULL_INLINE F32 ZeroF32() { return {_mm512_setzero_ps()}; }
LULL_INLINE F32 Add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
LULL_INLINE F32 Sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
LULL_INLINE F32 Mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
LULL_INLINE F32 Div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
LULL_INLINE F32 Sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
LULL_INLINE F32 Fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
LULL_INLINE F32 Max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
LULL_INLINE F32 Min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
LULL_INLINE F32 Abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
LULL_INLINE F32 RoundEven(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
LULL_INLINE I32 ToI32(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
LULL_INLINE F32 SelectNegative(F32 mask, F32 a, F32 b) {
  return {_mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(mask.v)), b.v, a.v)};
}
LULL_INLINE F32 SelectLess(F32 a, F32 b, F32 x, F32 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
LULL_INLINE F32 FillFrom(F32 a, size_t n, float fill) {
  return {_mm512_mask_blend_ps(FirstLanes(n), _mm512_set1_ps(fill), a.v)};
}
LULL_INLINE float SumLanes(F32 a) {
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
LULL_INLINE float MaxLanes(F32 a) {
  const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// --- pairs of lanes ---
LULL_INLINE F32 SwapPairs(F32 a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
LULL_INLINE F32 NegateEven(F32 a) {
  return {_mm512_xor_ps(a.v, _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000ll)))};
}
LULL_INLINE F32 LoadTwice(const float* p, size_t n) {
  const __m512 a = _mm512_maskz_loadu_ps(FirstLanes(n), p);
  return {
      _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), a)};
}

// --- 16-bit floats ---
LULL_INLINE F32 LoadF16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
LULL_INLINE F32 LoadBf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
LULL_INLINE void StoreF16(void* p, F32 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LULL_INLINE void StoreBf16(void* p, F32 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(64));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet)));
}

// --- i32 ---
LULL_INLINE I32 LoadI32(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
LULL_INLINE void StoreI32(int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
LULL_INLINE I32 Set1I32(int32_t x) { return {_mm512_set1_epi32(x)}; }
LULL_INLINE I32 AddI32(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
LULL_INLINE I32 SubI32(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
LULL_INLINE I32 MulI32(I32 a, I32 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
template <int kBits>
LULL_INLINE I32 ShiftLeft(I32 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
LULL_INLINE I32 MaxI32(I32 a, I32 b) { return {_mm512_max_epi32(a.v, b.v)}; }
LULL_INLINE int32_t MaxLanesI32(I32 a) { return _mm512_reduce_max_epi32(a.v); }
LULL_INLINE I32 AsI32(F32 a) { return {_mm512_castps_si512(a.v)}; }
LULL_INLINE F32 AsF32(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
LULL_INLINE F32 AddExponent(F32 a, F32 t) {
  return AsF32({_mm512_add_epi32(AsI32(a).v, _mm512_slli_epi32(AsI32(t).v, 23))});
}
LULL_INLINE F32 ToF32(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
LULL_INLINE I32 LoadI8AsI32(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
LULL_INLINE I32 LoadU8AsI32(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
LULL_INLINE I32 PairI16(I32 low, I32 high) {
  return {_mm512_mask_blend_epi16(0xaaaaaaaau, low.v, _mm512_slli_epi32(high.v, 16))};
}
LULL_INLINE I32 DotI16(I32 acc, I32 pairs, int32_t a2) {
  return {_mm512_dpwssd_epi32(acc.v, pairs.v, _mm512_set1_epi32(a2))};
}
LULL_INLINE void StoreI32AsI8(int8_t* p, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a.v));
}
LULL_INLINE F32 Pow2(I32 a) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a.v, _mm512_set1_epi32(127)), 23))};
}
LULL_INLINE int32_t SumLanesI32(I32 a) { return _mm512_reduce_add_epi32(a.v); }

// By halving: pairs of vectors are interleaved and combined until each has one lane.
template <typename Op>
LULL_INLINE I32 ReduceLanesOf16(const I32* v, const Op& op) {
  __m512i quarter[4];  // in each 128 bits the four lanes of four vectors, combined
  for (int i = 0; i < 4; ++i) {
    const I32* from = v + 4 * i;
    const __m512i a = op(_mm512_unpacklo_epi32(from[0].v, from[1].v),
                         _mm512_unpackhi_epi32(from[0].v, from[1].v));
    const __m512i b = op(_mm512_unpacklo_epi32(from[2].v, from[3].v),
                         _mm512_unpackhi_epi32(from[2].v, from[3].v));
    quarter[i] = op(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }
  const auto halve = [&op](__m512i a, __m512i b) {
    return op(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  };
  return {halve(halve(quarter[0], quarter[1]), halve(quarter[2], quarter[3]))};
}
LULL_INLINE I32 MaxLanesOf16(const I32* v) {
  return ReduceLanesOf16(v, [](__m512i a, __m512i b) { return _mm512_max_epi32(a, b); });
}
LULL_INLINE I32 SumLanesOf16(const I32* v) {
  return ReduceLanesOf16(v, [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); });
}

// --- bytes ---
LULL_INLINE U8 LoadU8(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
LULL_INLINE void StoreU8(uint8_t* p, U8 a) { _mm512_storeu_si512(p, a.v); }
LULL_INLINE U8 LowNibbles(U8 a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
LULL_INLINE U8 HighNibbles(U8 a) {
  return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))};
}
LULL_INLINE U8 OrU8(U8 a, U8 b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kShift>
LULL_INLINE U8 ShiftRightMask(U8 a, uint8_t mask) {
  return {_mm512_and_si512(_mm512_srli_epi16(a.v, kShift),
                           _mm512_set1_epi8(static_cast<char>(mask & (0xff >> kShift))))};
}
template <int kShift>
LULL_INLINE U8 MaskShiftLeft(U8 a, uint8_t mask) {
  return {_mm512_slli_epi16(
      _mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(mask & (0xff >> kShift)))), kShift)};
}
template <int kShift>
LULL_INLINE U8 OrShifted(U8 a, U8 b, uint8_t mask) {
  if constexpr (kShift > 0) b.v = _mm512_slli_epi16(b.v, kShift);
  if constexpr (kShift < 0) b.v = _mm512_srli_epi16(b.v, -kShift);
  // 0xf8: a | (b & mask)
  return {_mm512_ternarylogic_epi32(a.v, b.v, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8)};
}
LULL_INLINE U8 Lookup16(U8 a, const uint8_t* table) {
  const __m128i once = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(once), a.v)};
}
LULL_INLINE U8 OrWhere(U8 a, uint64_t mask, uint8_t bits) {
  return {_mm512_or_si512(a.v, _mm512_maskz_set1_epi8(mask, static_cast<char>(bits)))};
}

// --- int8 dots ---
LULL_INLINE int32_t LoadA4(const int8_t* p) {
  int32_t a;
  memcpy(&a, p, 4);
  return a;
}
LULL_INLINE I32 DotU8(I32 acc, U8 w, int32_t a4) {
  return {_mm512_dpbusd_epi32(acc.v, w.v, _mm512_set1_epi32(a4))};
}
inline constexpr bool kPartialSums = false;
using Partial = I32;
LULL_INLINE Partial ZeroPartial() { return Set1I32(0); }
LULL_INLINE Partial DotPartial(Partial acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }
LULL_INLINE I32 AddPartial(I32 acc, Partial sum) { return AddI32(acc, sum); }
inline constexpr int32_t kQ8Offset = 128;
LULL_INLINE I32 Q8Start(int32_t sum_a) { return Set1I32(-128 * sum_a); }
LULL_INLINE I32 DotQ8(I32 acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }
LULL_INLINE void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
LULL_INLINE void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }  // to L2

}  // namespace lull::avx512
LULL_END_TARGET
