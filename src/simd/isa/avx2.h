// AVX2 + FMA + F16C, without a dot-product instruction: maddubs and madd.
#pragma once

#include "simd/targets.h"

LULL_BEGIN_TARGET(LULL_TARGET_avx2)
namespace lull::avx2 {

inline constexpr double kMacsPerUs = 40000;

#include "simd/isa/avx2_common-inl.h"

LULL_INLINE __m256i DotHalf(__m256i acc, __m256i w, __m256i a) {
  // Pairs reach 2 * 128 * 127 = 32512 at most: maddubs cannot saturate for bytes <= 128.
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
}
LULL_INLINE I32 DotU8(I32 acc, U8 w, int32_t a4) {
  const __m256i a = _mm256_set1_epi32(a4);
  return {DotHalf(acc.lo, w.lo, a), DotHalf(acc.hi, w.hi, a)};
}
// Sums of pairs in 16 bits: at most 2 * 128 * 127 by what is required of the bytes.
inline constexpr bool kPartialSums = true;
struct Partial {
  __m256i lo, hi;
};
LULL_INLINE Partial ZeroPartial() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
LULL_INLINE Partial DotPartial(Partial acc, U8 w, int32_t a4) {
  const __m256i a = _mm256_set1_epi32(a4);
  return {_mm256_add_epi16(acc.lo, _mm256_maddubs_epi16(w.lo, a)),
          _mm256_add_epi16(acc.hi, _mm256_maddubs_epi16(w.hi, a))};
}
LULL_INLINE I32 AddPartial(I32 acc, Partial sum) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(sum.lo, ones)),
          _mm256_add_epi32(acc.hi, _mm256_madd_epi16(sum.hi, ones))};
}
// Full-range unsigned bytes would saturate: undo the offset and move the sign to the activation.
inline constexpr int32_t kQ8Offset = 0;
LULL_INLINE I32 Q8Start(int32_t) { return Set1I32(0); }
LULL_INLINE __m256i DotQ8Half(__m256i acc, __m256i w, __m256i a) {
  const __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return DotHalf(acc, _mm256_abs_epi8(s), _mm256_sign_epi8(a, s));
}
LULL_INLINE I32 DotQ8(I32 acc, U8 w, int32_t a4) {
  const __m256i a = _mm256_set1_epi32(a4);
  return {DotQ8Half(acc.lo, w.lo, a), DotQ8Half(acc.hi, w.hi, a)};
}

}  // namespace lull::avx2
LULL_END_TARGET
