// Activations to int8 per 32 and per 256 values. docs/design/arithmetic.md, "Activations".
namespace lull::LULL_ISA {

// Of largest magnitudes: what values are multiplied with; amax / 127 undoes it.
LULL_INLINE F32 InverseOf(F32 amax) {
  // Below 2^-100 the inverse would near overflow; such a block is zeros. So is one with a NaN.
  constexpr float kBelow = 0x1.fffffep-101f;
  return SelectLess(Set1(kBelow), amax, Div(Set1(127.0f), amax), ZeroF32());
}
LULL_INLINE F32 ScaleOf(F32 amax) { return Div(amax, Set1(127.0f)); }

// Of n values, n a multiple of 32, the largest magnitude in each lane. Magnitudes order like their
// bits, and NaN above infinity: a NaN makes the scale NaN.
LULL_INLINE I32 MostOf(const float* x, size_t n) {
  I32 most = AsI32(Abs(LoadF32(x)));
  for (size_t i = 16; i < n; i += 16) most = MaxI32(most, AsI32(Abs(LoadF32(x + i))));
  return most;
}

// 16 values; returns them.
LULL_INLINE I32 Quantize16(const float* x, F32 inverse, int8_t* q) {
  // The Max moves NaN (of an infinite or NaN input) into range.
  const I32 rounded = ToI32(Max(Mul(LoadF32(x), inverse), Set1(-127.0f)));
  StoreI32AsI8(q, rounded);
  return rounded;
}

// Lane i of `lanes` becomes the largest lane, or the sum, of v[i]: together where there are many.
// v holds 16.
template <bool kSum>
LULL_INLINE void ReduceLanes(I32* v, size_t n, int32_t* lanes) {
  if (n < 5) {
    for (size_t i = 0; i < n; ++i) lanes[i] = kSum ? SumLanesI32(v[i]) : MaxLanesI32(v[i]);
    return;
  }
  for (size_t i = n; i < 16; ++i) v[i] = Set1I32(0);
  StoreI32(lanes, kSum ? SumLanesOf16(v) : MaxLanesOf16(v));
}

// Up to 16 blocks of 32: what is done over lanes is done for all of them together.
LULL_INLINE void QuantizeBlocks(const float* x, size_t blocks, int8_t* q, float* scale,
                                float* scaled_sum, int32_t* half_sums) {
  alignas(64) int32_t lanes[32] = {};
  alignas(64) float inverse[16], scales[16];
  I32 vectors[32];
  for (size_t i = 0; i < blocks; ++i) vectors[i] = MostOf(x + 32 * i, 32);
  ReduceLanes<false>(vectors, blocks, lanes);
  const F32 amax = AsF32(LoadI32(lanes));
  StoreF32(inverse, InverseOf(amax));
  StoreF32(scales, ScaleOf(amax));
  const size_t halves = 2 * blocks;
  for (size_t half = 0; half < halves; ++half)
    vectors[half] = Quantize16(x + 16 * half, Set1(inverse[half / 2]), q + 16 * half);
  for (size_t first = 0; first < halves; first += 16)
    ReduceLanes<true>(vectors + first, halves - first < 16 ? halves - first : 16, lanes + first);
  memcpy(half_sums, lanes, halves * sizeof(int32_t));
  for (size_t i = 0; i < blocks; ++i) {
    scale[i] = scales[i];
    scaled_sum[i] = scales[i] * static_cast<float>(lanes[2 * i] + lanes[2 * i + 1]);
  }
}

void QuantizeRow(const float* x, size_t k, int8_t* q, float* scale, float* scaled_sum,
                 int32_t* half_sums) {
  for (size_t block = 0; block < k / 32; block += 16) {
    const size_t blocks = k / 32 - block < 16 ? k / 32 - block : 16;
    QuantizeBlocks(x + 32 * block, blocks, q + 32 * block, scale + block, scaled_sum + block,
                   half_sums + 2 * block);
  }
}

void QuantizeSuperRow(const float* x, size_t k, int8_t* q, float* scale, int16_t* sums32,
                      int16_t* sums16) {
  for (size_t block = 0; block < k / 256; ++block) {
    const F32 amax = AsF32(Set1I32(MaxLanesI32(MostOf(x + block * 256, 256))));
    const F32 inverse = InverseOf(amax);
    I32 vectors[16];
    for (size_t i = 0; i < 16; ++i) {
      const size_t at = 256 * block + 16 * i;
      vectors[i] = Quantize16(x + at, inverse, q + at);
    }
    alignas(64) int32_t sums[16];
    StoreI32(sums, SumLanesOf16(vectors));
    for (size_t i = 0; i < 16; ++i) sums16[16 * block + i] = static_cast<int16_t>(sums[i]);
    for (size_t i = 0; i < 8; ++i)
      sums32[8 * block + i] = static_cast<int16_t>(sums[2 * i] + sums[2 * i + 1]);
    alignas(64) float scales[16];
    StoreF32(scales, ScaleOf(amax));
    scale[block] = scales[0];
  }
}

}  // namespace lull::LULL_ISA
