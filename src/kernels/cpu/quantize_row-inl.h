// Activations to int8 per 32 and per 256 values. docs/design/arithmetic.md, "Activations".
namespace lull::LULL_ISA {

// Of the largest magnitude in n values, n a multiple of 32: what they are multiplied with, and the
// scale that undoes it.
struct RowScale {
  float inverse, scale;
};
LULL_INLINE RowScale ScaleOf(const float* x, size_t n) {
  // Magnitudes order like their bits, and NaN above infinity: a NaN makes the scale NaN.
  I32 most = AsI32(Abs(LoadF32(x)));
  for (size_t i = 16; i < n; i += 16) most = MaxI32(most, AsI32(Abs(LoadF32(x + i))));
  const int32_t amax_bits = MaxLanesI32(most);
  float amax;
  memcpy(&amax, &amax_bits, 4);
  // Below 2^-100 the inverse would near overflow; such a block is zeros.
  return {amax >= 0x1p-100f ? 127.0f / amax : 0.0f, amax / 127.0f};
}

// 16 values; returns their sum.
LULL_INLINE int32_t Quantize16(const float* x, F32 inverse, int8_t* q) {
  // The Max moves NaN (of an infinite or NaN input) into range.
  const I32 rounded = ToI32(Max(Mul(LoadF32(x), inverse), Set1(-127.0f)));
  StoreI32AsI8(q, rounded);
  return SumLanesI32(rounded);
}

void QuantizeRow(const float* x, size_t k, int8_t* q, float* scale, float* scaled_sum,
                 int32_t* half_sums) {
  for (size_t block = 0; block < k / 32; ++block) {
    const RowScale s = ScaleOf(x + block * 32, 32);
    for (size_t half = 2 * block; half < 2 * block + 2; ++half)
      half_sums[half] = Quantize16(x + 16 * half, Set1(s.inverse), q + 16 * half);
    scale[block] = s.scale;
    scaled_sum[block] =
        s.scale * static_cast<float>(half_sums[2 * block] + half_sums[2 * block + 1]);
  }
}

void QuantizeSuperRow(const float* x, size_t k, int8_t* q, float* scale, int16_t* sums32,
                      int16_t* sums16) {
  for (size_t block = 0; block < k / 256; ++block) {
    const RowScale s = ScaleOf(x + block * 256, 256);
    for (size_t i = 16 * block; i < 16 * block + 16; ++i)
      sums16[i] = static_cast<int16_t>(Quantize16(x + 16 * i, Set1(s.inverse), q + 16 * i));
    for (size_t i = 8 * block; i < 8 * block + 8; ++i)
      sums32[i] = static_cast<int16_t>(sums16[2 * i] + sums16[2 * i + 1]);
    scale[block] = s.scale;
  }
}

}  // namespace lull::LULL_ISA
