// The primitives that AVX2 with and without VNNI share: two ymm per 16 lanes. Included once inside
// each of their namespaces. Meanings: scalar.h.

// Matrix product tiles: groups of 16 weight rows by activation rows that fill the registers.
inline constexpr int kTileGroups = 1, kTileCols = 4, kStreamGroups = 2;
inline constexpr int kTileUnroll = 16;

struct F32 {
  __m256 lo, hi;
};
struct I32 {
  __m256i lo, hi;
};
struct U8 {
  __m256i lo, hi;
};

// F32 values that fit the 16 registers.
inline constexpr int kF32Registers = 8;

// All-ones in the lanes below n, for the half that starts at `first`.
LULL_INLINE __m256i LaneMask(size_t n, int first) {
  const int count = n > 16 ? 16 : static_cast<int>(n);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count - first),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// --- f32 ---
LULL_INLINE F32 LoadF32(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
LULL_INLINE void StoreF32(float* p, F32 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
LULL_INLINE F32 LoadF32Partial(const float* p, size_t n) {
  return {_mm256_maskload_ps(p, LaneMask(n, 0)), _mm256_maskload_ps(p + 8, LaneMask(n, 8))};
}
LULL_INLINE void StoreF32Partial(float* p, F32 a, size_t n) {
  _mm256_maskstore_ps(p, LaneMask(n, 0), a.lo);
  _mm256_maskstore_ps(p + 8, LaneMask(n, 8), a.hi);
}
LULL_INLINE F32 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
LULL_INLINE F32 ZeroF32() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
LULL_INLINE F32 Add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Sqrt(F32 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
LULL_INLINE F32 Fma(F32 a, F32 b, F32 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
LULL_INLINE F32 Max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
LULL_INLINE F32 Abs(F32 a) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
}
LULL_INLINE F32 RoundEven(F32 a) {
  return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
LULL_INLINE I32 ToI32(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
LULL_INLINE F32 SelectNegative(F32 mask, F32 a, F32 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, mask.lo), _mm256_blendv_ps(b.hi, a.hi, mask.hi)};
}
LULL_INLINE F32 SelectLess(F32 a, F32 b, F32 x, F32 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
LULL_INLINE F32 FillFrom(F32 a, size_t n, float fill) {
  const __m256 f = _mm256_set1_ps(fill);
  return {_mm256_blendv_ps(f, a.lo, _mm256_castsi256_ps(LaneMask(n, 0))),
          _mm256_blendv_ps(f, a.hi, _mm256_castsi256_ps(LaneMask(n, 8)))};
}
LULL_INLINE float SumLanes(F32 a) {
  const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
LULL_INLINE float MaxLanes(F32 a) {
  const __m256 s8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// --- pairs of lanes ---
LULL_INLINE F32 SwapPairs(F32 a) {
  return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
LULL_INLINE F32 NegateEven(F32 a) {
  const __m256 sign = _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000ll));
  return {_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
LULL_INLINE F32 LoadTwice(const float* p, size_t n) {
  const __m256 a = _mm256_maskload_ps(p, LaneMask(n, 0));
  const __m256 low = _mm256_unpacklo_ps(a, a), high = _mm256_unpackhi_ps(a, a);
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

// --- 16-bit floats ---
LULL_INLINE F32 LoadF16(const void* p) {
  const __m128i* h = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1))};
}
LULL_INLINE F32 LoadBf16(const void* p) {
  const __m128i* h = static_cast<const __m128i*>(p);
  return {
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(h)), 16)),
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(h + 1)), 16))};
}
LULL_INLINE void StoreF16(void* p, F32 a) {
  __m128i* h = static_cast<__m128i*>(p);
  _mm_storeu_si128(h, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(h + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// The upper 16 bits of each lane, rounded, as 8 lanes of 32 bits.
LULL_INLINE __m256i RoundToBf16(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(64));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}
LULL_INLINE void StoreBf16(void* p, F32 a) {
  const __m256i packed = _mm256_packus_epi32(RoundToBf16(a.lo), RoundToBf16(a.hi));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

// --- i32 ---
LULL_INLINE I32 LoadI32(const int32_t* p) {
  const __m256i* w = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(w), _mm256_loadu_si256(w + 1)};
}
LULL_INLINE void StoreI32(int32_t* p, I32 a) {
  __m256i* w = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(w, a.lo);
  _mm256_storeu_si256(w + 1, a.hi);
}
LULL_INLINE I32 Set1I32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
LULL_INLINE I32 AddI32(I32 a, I32 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
LULL_INLINE I32 SubI32(I32 a, I32 b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
LULL_INLINE I32 MulI32(I32 a, I32 b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
template <int kBits>
LULL_INLINE I32 ShiftLeft(I32 a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
LULL_INLINE I32 MaxI32(I32 a, I32 b) {
  return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
LULL_INLINE int32_t MaxLanesI32(I32 a) {
  const __m256i s8 = _mm256_max_epi32(a.lo, a.hi);
  const __m128i s4 = _mm_max_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
  const __m128i s2 = _mm_max_epi32(s4, _mm_srli_si128(s4, 8));
  return _mm_cvtsi128_si32(_mm_max_epi32(s2, _mm_srli_si128(s2, 4)));
}
LULL_INLINE I32 AsI32(F32 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
LULL_INLINE F32 AsF32(I32 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
LULL_INLINE F32 AddExponent(F32 a, F32 t) {
  const I32 bits = AsI32(a), n = AsI32(t);
  return AsF32({_mm256_add_epi32(bits.lo, _mm256_slli_epi32(n.lo, 23)),
                _mm256_add_epi32(bits.hi, _mm256_slli_epi32(n.hi, 23))});
}
LULL_INLINE F32 ToF32(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
LULL_INLINE I32 LoadI8AsI32(const int8_t* p) {
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(b), _mm256_cvtepi8_epi32(_mm_srli_si128(b, 8))};
}
LULL_INLINE I32 LoadU8AsI32(const uint8_t* p) {
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(b), _mm256_cvtepu8_epi32(_mm_srli_si128(b, 8))};
}
LULL_INLINE __m256i PairI16Half(__m256i low, __m256i high) {
  return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}
LULL_INLINE I32 PairI16(I32 low, I32 high) {
  return {PairI16Half(low.lo, high.lo), PairI16Half(low.hi, high.hi)};
}
LULL_INLINE I32 DotI16(I32 acc, I32 pairs, int32_t a2) {
  const __m256i a = _mm256_set1_epi32(a2);
  return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(pairs.lo, a)),
          _mm256_add_epi32(acc.hi, _mm256_madd_epi16(pairs.hi, a))};
}
LULL_INLINE void StoreI32AsI8(int8_t* p, I32 a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
LULL_INLINE F32 Pow2(I32 a) {
  const __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.lo, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.hi, bias), 23))};
}
LULL_INLINE int32_t SumLanesI32(I32 a) {
  const __m256i s8 = _mm256_add_epi32(a.lo, a.hi);
  const __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_srli_si128(s4, 8));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_srli_si128(s2, 4)));
}

template <int32_t (*kReduce)(I32)>
LULL_INLINE I32 ReduceLanesOf16(const I32* v) {
  alignas(32) int32_t lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = kReduce(v[i]);
  return LoadI32(lanes);
}
LULL_INLINE I32 MaxLanesOf16(const I32* v) { return ReduceLanesOf16<MaxLanesI32>(v); }
LULL_INLINE I32 SumLanesOf16(const I32* v) { return ReduceLanesOf16<SumLanesI32>(v); }

// --- bytes ---
LULL_INLINE U8 LoadU8(const uint8_t* p) {
  const __m256i* w = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(w), _mm256_loadu_si256(w + 1)};
}
LULL_INLINE void StoreU8(uint8_t* p, U8 a) {
  __m256i* w = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(w, a.lo);
  _mm256_storeu_si256(w + 1, a.hi);
}
LULL_INLINE U8 LowNibbles(U8 a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)};
}
LULL_INLINE U8 HighNibbles(U8 a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(_mm256_srli_epi16(a.lo, 4), mask),
          _mm256_and_si256(_mm256_srli_epi16(a.hi, 4), mask)};
}
LULL_INLINE U8 OrU8(U8 a, U8 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
template <int kShift>
LULL_INLINE U8 ShiftRightMask(U8 a, uint8_t mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask & (0xff >> kShift)));
  return {_mm256_and_si256(_mm256_srli_epi16(a.lo, kShift), m),
          _mm256_and_si256(_mm256_srli_epi16(a.hi, kShift), m)};
}
template <int kShift>
LULL_INLINE U8 MaskShiftLeft(U8 a, uint8_t mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask & (0xff >> kShift)));
  return {_mm256_slli_epi16(_mm256_and_si256(a.lo, m), kShift),
          _mm256_slli_epi16(_mm256_and_si256(a.hi, m), kShift)};
}
template <int kShift>
LULL_INLINE __m256i OrShiftedHalf(__m256i a, __m256i b, __m256i mask) {
  if constexpr (kShift > 0) b = _mm256_slli_epi16(b, kShift);
  if constexpr (kShift < 0) b = _mm256_srli_epi16(b, -kShift);
  return _mm256_or_si256(a, _mm256_and_si256(b, mask));
}
template <int kShift>
LULL_INLINE U8 OrShifted(U8 a, U8 b, uint8_t mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
  return {OrShiftedHalf<kShift>(a.lo, b.lo, m), OrShiftedHalf<kShift>(a.hi, b.hi, m)};
}
LULL_INLINE U8 Lookup16(U8 a, const uint8_t* table) {
  const __m256i both =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(both, a.lo), _mm256_shuffle_epi8(both, a.hi)};
}
// `bits` in the bytes whose bit of the 32-bit mask is set.
LULL_INLINE __m256i ExpandMask(uint32_t mask, uint8_t bits) {
  const __m256i spread = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int>(mask)),
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(bits)));
}
LULL_INLINE U8 OrWhere(U8 a, uint64_t mask, uint8_t bits) {
  return {_mm256_or_si256(a.lo, ExpandMask(static_cast<uint32_t>(mask), bits)),
          _mm256_or_si256(a.hi, ExpandMask(static_cast<uint32_t>(mask >> 32), bits))};
}
LULL_INLINE int32_t LoadA4(const int8_t* p) {
  int32_t a;
  memcpy(&a, p, 4);
  return a;
}
LULL_INLINE void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
LULL_INLINE void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }  // to L2
