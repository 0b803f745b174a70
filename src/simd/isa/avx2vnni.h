// AVX2 with AVX-VNNI (client cores since Alder Lake, Zen 5): vpdpbusd on ymm.
#pragma once

#include "simd/targets.h"

LULL_BEGIN_TARGET(LULL_TARGET_avx2vnni)
namespace lull::avx2vnni {

inline constexpr double kMacsPerUs = 60000;

#include "simd/isa/avx2_common-inl.h"

LULL_INLINE I32 DotU8(I32 acc, U8 w, int32_t a4) {
  const __m256i a = _mm256_set1_epi32(a4);
  return {_mm256_dpbusd_avx_epi32(acc.lo, w.lo, a), _mm256_dpbusd_avx_epi32(acc.hi, w.hi, a)};
}
inline constexpr bool kPartialSums = false;
using Partial = I32;
LULL_INLINE Partial ZeroPartial() { return Set1I32(0); }
LULL_INLINE Partial DotPartial(Partial acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }
LULL_INLINE I32 AddPartial(I32 acc, Partial sum) { return AddI32(acc, sum); }
inline constexpr int32_t kQ8Offset = 128;
LULL_INLINE I32 Q8Start(int32_t sum_a) { return Set1I32(-128 * sum_a); }
LULL_INLINE I32 DotQ8(I32 acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }

}  // namespace lull::avx2vnni
LULL_END_TARGET
