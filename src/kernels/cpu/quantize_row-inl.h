// Activations to int8 per 32 values. docs/design/arithmetic.md, "Activations".
namespace lull::LULL_ISA {

void QuantizeRow(const float* x, size_t k, int8_t* q, float* scale, float* scaled_sum,
                 int32_t* half_sums) {
  for (size_t block = 0; block < k / 32; ++block) {
    const F32 lo = LoadF32(x + block * 32), hi = LoadF32(x + block * 32 + 16);
    // Magnitudes order like their bits, and NaN above infinity: a NaN makes the scale NaN.
    const int32_t amax_bits = MaxLanesI32(MaxI32(AsI32(Abs(lo)), AsI32(Abs(hi))));
    float amax;
    memcpy(&amax, &amax_bits, 4);
    // Below 2^-100 the inverse would near overflow; such a block is zeros.
    const F32 inverse = Set1(amax >= 0x1p-100f ? 127.0f / amax : 0.0f);
    // The Max moves NaN (of an infinite or NaN input) into range.
    const I32 qlo = ToI32(Max(Mul(lo, inverse), Set1(-127.0f)));
    const I32 qhi = ToI32(Max(Mul(hi, inverse), Set1(-127.0f)));
    StoreI32AsI8(q + block * 32, qlo);
    StoreI32AsI8(q + block * 32 + 16, qhi);
    const int32_t sum_lo = SumLanesI32(qlo), sum_hi = SumLanesI32(qhi);
    half_sums[block * 2] = sum_lo;
    half_sums[block * 2 + 1] = sum_hi;
    scale[block] = amax / 127.0f;
    scaled_sum[block] = scale[block] * static_cast<float>(sum_lo + sum_hi);
  }
}

}  // namespace lull::LULL_ISA
