// Reference primitives: 16 virtual lanes in plain C++. The meaning of every primitive is what this
// file computes; the other instruction sets give the same bits (tests/simd).
#pragma once

#include "base/f16.h"
#include "simd/targets.h"

// One-line loops read best here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmisleading-indentation"
LULL_BEGIN_TARGET(LULL_TARGET_scalar)
namespace lull::scalar {

// Rough int8 multiply-accumulates per microsecond of one thread, to size tiles.
inline constexpr double kMacsPerUs = 700;
// F32 values that fit the register file: sizes register blocks, never the results.
inline constexpr int kF32Registers = 1;
// Matrix product tiles: groups of 16 weight rows by activation rows that fill the registers; and
// how many groups a single row takes at a time, each a stream from memory.
inline constexpr int kTileGroups = 1, kTileCols = 2, kStreamGroups = 1;
inline constexpr int kTileUnroll = 1;

struct F32 {
  float v[16];
};
struct I32 {
  int32_t v[16];
};
struct U8 {
  uint8_t v[64];
};  // lane i holds bytes 4 i .. 4 i + 3

#define LULL_LANES for (int i = 0; i < 16; ++i)
#define LULL_BYTES for (int i = 0; i < 64; ++i)

// --- f32 ---
LULL_INLINE F32 LoadF32(const float* p) {
  F32 r;
  memcpy(r.v, p, 64);
  return r;
}
LULL_INLINE void StoreF32(float* p, F32 a) { memcpy(p, a.v, 64); }
// The first n lanes (0..16); the others read as 0.
LULL_INLINE F32 LoadF32Partial(const float* p, size_t n) {
  F32 r;
  LULL_LANES r.v[i] = static_cast<size_t>(i) < n ? p[i] : 0.0f;
  return r;
}
LULL_INLINE void StoreF32Partial(float* p, F32 a, size_t n) {
  LULL_LANES if (static_cast<size_t>(i) < n) p[i] = a.v[i];
}
LULL_INLINE F32 Set1(float x) {
  F32 r;
  LULL_LANES r.v[i] = x;
  return r;
}
LULL_INLINE F32 ZeroF32() { return Set1(0.0f); }
LULL_INLINE F32 Add(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] + b.v[i];
  return a;
}
LULL_INLINE F32 Sub(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] - b.v[i];
  return a;
}
LULL_INLINE F32 Mul(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] * b.v[i];
  return a;
}
LULL_INLINE F32 Div(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] / b.v[i];
  return a;
}
LULL_INLINE F32 Sqrt(F32 a) {
  LULL_LANES a.v[i] = std::sqrt(a.v[i]);
  return a;
}
// a * b + c with one rounding.
LULL_INLINE F32 Fma(F32 a, F32 b, F32 c) {
  LULL_LANES c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return c;
}
// The second operand where either is NaN, as x86 does.
LULL_INLINE F32 Max(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
LULL_INLINE F32 Min(F32 a, F32 b) {
  LULL_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
LULL_INLINE F32 Abs(F32 a) {
  LULL_LANES a.v[i] = std::fabs(a.v[i]);
  return a;
}
// To nearest integer, ties to even. |a| < 2^31.
LULL_INLINE F32 RoundEven(F32 a) {
  LULL_LANES a.v[i] = std::nearbyint(a.v[i]);
  return a;
}
LULL_INLINE I32 ToI32(F32 a) {
  I32 r;
  LULL_LANES r.v[i] = static_cast<int32_t>(std::nearbyint(a.v[i]));
  return r;
}
// a where mask < 0 (sign bit set), else b.
LULL_INLINE F32 SelectNegative(F32 mask, F32 a, F32 b) {
  LULL_LANES a.v[i] = std::signbit(mask.v[i]) ? a.v[i] : b.v[i];
  return a;
}
// x where a < b, else y (y too where either is NaN).
LULL_INLINE F32 SelectLess(F32 a, F32 b, F32 x, F32 y) {
  LULL_LANES y.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
  return y;
}
// Lanes from n on become fill.
LULL_INLINE F32 FillFrom(F32 a, size_t n, float fill) {
  LULL_LANES if (static_cast<size_t>(i) >= n) a.v[i] = fill;
  return a;
}
// Fixed tree: lanes i and i + 8, then + 4, + 2, + 1.
LULL_INLINE float SumLanes(F32 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
  return a.v[0];
}
LULL_INLINE float MaxLanes(F32 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  return a.v[0];
}

// --- pairs of lanes: (0, 1), (2, 3), ... ---
LULL_INLINE F32 SwapPairs(F32 a) {
  F32 r;
  LULL_LANES r.v[i] = a.v[i ^ 1];
  return r;
}
LULL_INLINE F32 NegateEven(F32 a) {
  LULL_LANES if (i % 2 == 0) a.v[i] = -a.v[i];
  return a;
}
// p[0], p[0], p[1], p[1], ...: the first n (0..8) values twice each; the others read as 0.
LULL_INLINE F32 LoadTwice(const float* p, size_t n) {
  F32 r;
  LULL_LANES r.v[i] = static_cast<size_t>(i / 2) < n ? p[i / 2] : 0.0f;
  return r;
}

// --- 16-bit floats, widened exactly, narrowed to nearest even ---
LULL_INLINE F32 LoadF16(const void* p) {
  uint16_t h[16];
  memcpy(h, p, 32);
  F32 r;
  LULL_LANES r.v[i] = F16ToF32(h[i]);
  return r;
}
LULL_INLINE F32 LoadBf16(const void* p) {
  uint16_t h[16];
  memcpy(h, p, 32);
  F32 r;
  LULL_LANES r.v[i] = Bf16ToF32(h[i]);
  return r;
}
LULL_INLINE void StoreF16(void* p, F32 a) {
  uint16_t h[16];
  LULL_LANES h[i] = F32ToF16(a.v[i]);
  memcpy(p, h, 32);
}
LULL_INLINE void StoreBf16(void* p, F32 a) {
  uint16_t h[16];
  LULL_LANES h[i] = F32ToBf16(a.v[i]);
  memcpy(p, h, 32);
}

// --- i32 ---
LULL_INLINE I32 LoadI32(const int32_t* p) {
  I32 r;
  memcpy(r.v, p, 64);
  return r;
}
LULL_INLINE void StoreI32(int32_t* p, I32 a) { memcpy(p, a.v, 64); }
LULL_INLINE I32 Set1I32(int32_t x) {
  I32 r;
  LULL_LANES r.v[i] = x;
  return r;
}
LULL_INLINE I32 AddI32(I32 a, I32 b) {
  LULL_LANES a.v[i] += b.v[i];
  return a;
}
LULL_INLINE I32 SubI32(I32 a, I32 b) {
  LULL_LANES a.v[i] -= b.v[i];
  return a;
}
LULL_INLINE I32 MulI32(I32 a, I32 b) {
  LULL_LANES a.v[i] *= b.v[i];
  return a;
}
template <int kBits>
LULL_INLINE I32 ShiftLeft(I32 a) {
  LULL_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << kBits);
  return a;
}
LULL_INLINE I32 MaxI32(I32 a, I32 b) {
  LULL_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
LULL_INLINE int32_t MaxLanesI32(I32 a) {
  int32_t m = a.v[0];
  LULL_LANES m = a.v[i] > m ? a.v[i] : m;
  return m;
}
// The same bits as the other type.
LULL_INLINE I32 AsI32(F32 a) {
  I32 r;
  memcpy(r.v, a.v, 64);
  return r;
}
LULL_INLINE F32 AsF32(I32 a) {
  F32 r;
  memcpy(r.v, a.v, 64);
  return r;
}
// a * 2^n, n the low 9 bits of t, added to the exponent field as is: the result must be normal.
LULL_INLINE F32 AddExponent(F32 a, F32 t) {
  LULL_LANES {
    uint32_t bits, n;
    memcpy(&bits, &a.v[i], 4);
    memcpy(&n, &t.v[i], 4);
    bits += n << 23;
    memcpy(&a.v[i], &bits, 4);
  }
  return a;
}
LULL_INLINE F32 ToF32(I32 a) {
  F32 r;
  LULL_LANES r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
LULL_INLINE I32 LoadI8AsI32(const int8_t* p) {
  I32 r;
  LULL_LANES r.v[i] = p[i];
  return r;
}
LULL_INLINE I32 LoadU8AsI32(const uint8_t* p) {
  I32 r;
  LULL_LANES r.v[i] = p[i];
  return r;
}
// Two int16 in a lane: `low` in its lower half. Requires: both within int16.
LULL_INLINE I32 PairI16(I32 low, I32 high) {
  LULL_LANES low.v[i] = static_cast<int32_t>(static_cast<uint32_t>(low.v[i] & 0xffff) |
                                             static_cast<uint32_t>(high.v[i]) << 16);
  return low;
}
// Lane i gains the dot of its two int16 with the two in a2.
LULL_INLINE I32 DotI16(I32 acc, I32 pairs, int32_t a2) {
  const int32_t low = static_cast<int16_t>(a2), high = a2 >> 16;
  LULL_LANES acc.v[i] += static_cast<int16_t>(pairs.v[i]) * low + (pairs.v[i] >> 16) * high;
  return acc;
}
// Each lane to int8, saturated.
LULL_INLINE void StoreI32AsI8(int8_t* p, I32 a) {
  LULL_LANES p[i] = static_cast<int8_t>(a.v[i] < -128 ? -128 : a.v[i] > 127 ? 127 : a.v[i]);
}
// 2^a as f32, for -126 <= a <= 127.
LULL_INLINE F32 Pow2(I32 a) {
  F32 r;
  LULL_LANES {
    const uint32_t bits = static_cast<uint32_t>(a.v[i] + 127) << 23;
    memcpy(&r.v[i], &bits, 4);
  }
  return r;
}
LULL_INLINE int32_t SumLanesI32(I32 a) {
  int32_t s = 0;
  LULL_LANES s += a.v[i];
  return s;
}

// Lane i: the largest lane of v[i], or the sum of its lanes.
LULL_INLINE I32 MaxLanesOf16(const I32* v) {
  I32 r;
  LULL_LANES r.v[i] = MaxLanesI32(v[i]);
  return r;
}
LULL_INLINE I32 SumLanesOf16(const I32* v) {
  I32 r;
  LULL_LANES r.v[i] = SumLanesI32(v[i]);
  return r;
}

// --- bytes; loops of 64 are kept out of line, or products take minutes to compile ---
#define LULL_NOINLINE inline __attribute__((noinline))
LULL_INLINE U8 LoadU8(const uint8_t* p) {
  U8 r;
  memcpy(r.v, p, 64);
  return r;
}
LULL_INLINE void StoreU8(uint8_t* p, U8 a) { memcpy(p, a.v, 64); }
LULL_NOINLINE U8 LowNibbles(U8 a) {
  LULL_BYTES a.v[i] &= 15;
  return a;
}
LULL_NOINLINE U8 HighNibbles(U8 a) {
  LULL_BYTES a.v[i] >>= 4;
  return a;
}
LULL_INLINE U8 OrU8(U8 a, U8 b) {
  LULL_BYTES a.v[i] |= b.v[i];
  return a;
}
// (each byte >> kShift) & mask, and (each byte & mask) << kShift; no bit crosses a byte.
template <int kShift>
LULL_NOINLINE U8 ShiftRightMask(U8 a, uint8_t mask) {
  LULL_BYTES a.v[i] = static_cast<uint8_t>((a.v[i] >> kShift) & mask);
  return a;
}
template <int kShift>
LULL_INLINE U8 MaskShiftLeft(U8 a, uint8_t mask) {
  LULL_BYTES a.v[i] = static_cast<uint8_t>((a.v[i] & mask) << kShift);
  return a;
}
// a | (b << kShift & mask), a right shift where kShift < 0. Requires: no bit of mask takes its
// value from the neighbouring byte.
template <int kShift>
LULL_NOINLINE U8 OrShifted(U8 a, U8 b, uint8_t mask) {
  LULL_BYTES a.v[i] = static_cast<uint8_t>(
      a.v[i] | ((kShift < 0 ? b.v[i] >> -kShift : b.v[i] << (kShift < 0 ? 0 : kShift)) & mask));
  return a;
}
// table[byte] for every byte; table has 16 entries. Requires: every byte of a < 16.
LULL_NOINLINE U8 Lookup16(U8 a, const uint8_t* table) {
  LULL_BYTES a.v[i] = table[a.v[i]];
  return a;
}
// Sets `bits` in byte i where bit i of mask is set.
LULL_INLINE U8 OrWhere(U8 a, uint64_t mask, uint8_t bits) {
  LULL_BYTES if (mask >> i & 1) a.v[i] |= bits;
  return a;
}

// --- int8 dots: lane i gains sum over j of w[4 i + j] * a[j], a = four int8 in one word ---
LULL_INLINE int32_t LoadA4(const int8_t* p) {
  int32_t a;
  memcpy(&a, p, 4);
  return a;
}
// Requires: every byte of w <= 128.
LULL_NOINLINE I32 DotU8(I32 acc, U8 w, int32_t a4) {
  int8_t a[4];
  memcpy(a, &a4, 4);
  LULL_LANES for (int j = 0; j < 4; ++j) acc.v[i] += int32_t{w.v[4 * i + j]} * a[j];
  return acc;
}
// The same for few small products, where that is cheaper in narrower sums: a partial sum begins at
// ZeroPartial and is added at last. Requires: sum over its words of the largest byte <= 128.
inline constexpr bool kPartialSums = false;  // narrower here
using Partial = I32;
LULL_INLINE Partial ZeroPartial() { return Set1I32(0); }
LULL_INLINE Partial DotPartial(Partial acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }
LULL_INLINE I32 AddPartial(I32 acc, Partial sum) { return AddI32(acc, sum); }
// Signed weights stored with the sign bit flipped (byte = value + 128). The accumulator starts at
// Q8Start(sum of all a), then takes DotQ8 for each word: the total is the exact signed dot.
inline constexpr int32_t kQ8Offset = 128;  // Q8Start(s) is -kQ8Offset * s
LULL_INLINE I32 Q8Start(int32_t sum_a) { return Set1I32(-128 * sum_a); }
LULL_INLINE I32 DotQ8(I32 acc, U8 w, int32_t a4) { return DotU8(acc, w, a4); }

// A hint to load the line of p; p may point anywhere.
LULL_INLINE void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
LULL_INLINE void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }  // to L2

#undef LULL_LANES
#undef LULL_BYTES
#undef LULL_NOINLINE
}  // namespace lull::scalar
LULL_END_TARGET
#pragma GCC diagnostic pop
