// AMX-INT8 tiles (server cores since Sapphire Rapids) over the AVX-512 primitives. Only the matrix
// products have a form of their own; everything else is AVX-512's.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
#pragma once

#include "simd/isa/avx512.h"
#include "simd/targets.h"

LULL_BEGIN_TARGET(LULL_TARGET_amx)
namespace lull::amx {

using namespace avx512;  // NOLINT(google-build-using-namespace): the same primitives

inline constexpr double kMacsPerUs = 160000;

// Weights signed bytes from unsigned ones: one subtraction, exact for every type's offset.
LULL_INLINE U8 SubU8(U8 a, int b) {
  return {_mm512_sub_epi8(a.v, _mm512_set1_epi8(static_cast<char>(b)))};
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
LULL_INLINE void SetTileShapes(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" ::"m"(shapes));
}
LULL_INLINE void ReleaseTiles() { asm volatile("tilerelease"); }

}  // namespace lull::amx
LULL_END_TARGET
