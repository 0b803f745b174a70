// AMX-INT8 tiles (server cores since Sapphire Rapids) over the AVX-512 primitives. Only the matrix
// products have a form of their own; everything else is AVX-512's.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
#pragma once

#include "simd/isa/avx512.h"
#include "simd/targets.h"

LULL_BEGIN_TARGET(LULL_TARGET_amx)
namespace lull::amx {

using namespace avx512;  // NOLINT(google-build-using-namespace): the same primitives

inline constexpr double kMacsPerUs = 160000, kSuperMacsPerUs = 400000;

// Weights signed bytes from unsigned ones: one subtraction, exact for every type's offset.
LULL_INLINE U8 SubU8(U8 a, int b) {
  return {_mm512_sub_epi8(a.v, _mm512_set1_epi8(static_cast<char>(b)))};
}

// Unsigned bytes times the sub-scale of their lane (0..63), as two bytes: product = 8 * high + low.
// Requires: every byte of a <= 36.
struct U8Pair {
  U8 high, low;
};
LULL_INLINE U8Pair ScaleU8(U8 a, I32 scale) {
  const __m512i both = _mm512_or_si512(scale.v, _mm512_slli_epi32(scale.v, 16));
  const __m512i high = _mm512_srli_epi16(both, 3);
  const __m512i low = _mm512_and_si512(both, _mm512_set1_epi16(7));
  // Two bytes by one factor at a time: no product of theirs passes 255.
  return {{_mm512_mullo_epi16(a.v, high)}, {_mm512_mullo_epi16(a.v, low)}};
}
// (byte - offset) times a signed sub-scale, as two signed bytes: product = 64 * high + low.
// Requires: |product| < 8192.
LULL_INLINE U8Pair ScaleOffset(U8 a, int offset, I32 scale) {
  const __m512i both =
      _mm512_mask_blend_epi16(0xaaaaaaaau, scale.v, _mm512_slli_epi32(scale.v, 16));
  const __m512i bytes = _mm512_set1_epi16(0xff),
                from = _mm512_set1_epi16(static_cast<short>(offset));
  const __m512i even =
      _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_and_si512(a.v, bytes), from), both);
  const __m512i odd = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(a.v, 8), from), both);
  const __m512i six = _mm512_set1_epi16(63);
  const __m512i low = _mm512_or_si512(_mm512_and_si512(even, six),
                                      _mm512_slli_epi16(_mm512_and_si512(odd, six), 8));
  const __m512i high = _mm512_or_si512(_mm512_and_si512(_mm512_srai_epi16(even, 6), bytes),
                                       _mm512_slli_epi16(_mm512_srai_epi16(odd, 6), 8));
  return {{high}, {low}};
}

// Palette 1: eight tiles of up to 16 rows of 64 bytes.
struct TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

// Tile numbers are part of the instruction. `volatile` keeps the order among them; "memory" keeps
// stores to what a tile reads before it.
template <int kTile>
LULL_INLINE void TileZero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
LULL_INLINE void TileLoad(const void* rows, size_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(rows), "r"(stride_bytes), "i"(kTile)
               : "memory");
}
template <int kTile>
LULL_INLINE void TileStore(void* rows, size_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(rows), "r"(stride_bytes), "i"(kTile)
               : "memory");
}
// sum[m][n] += a[m][4 k + i] * b[k][4 n + i], signed bytes, exact in i32.
template <int kSum, int kA, int kB>
LULL_INLINE void TileDot() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}
// The same with unsigned bytes in b.
template <int kSum, int kA, int kB>
LULL_INLINE void TileDotUnsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}
LULL_INLINE void SetTileShapes(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" ::"m"(shapes));
}
LULL_INLINE void ReleaseTiles() { asm volatile("tilerelease"); }

}  // namespace lull::amx
LULL_END_TARGET
