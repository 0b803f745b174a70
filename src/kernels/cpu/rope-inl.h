// Rotary position embedding of one head. docs/design/arithmetic.md, "RoPE".
namespace lull::LULL_ISA {
namespace {

// Pairs (i, i + half) of `count` <= 16 values.
LULL_INLINE void RotateHalves(float* lower, float* upper, F32 cos, F32 sin, size_t count) {
  const F32 x0 = LoadF32Partial(lower, count), x1 = LoadF32Partial(upper, count);
  StoreF32Partial(lower, Fma(x0, cos, Mul(x1, Sub(ZeroF32(), sin))), count);
  StoreF32Partial(upper, Fma(x1, cos, Mul(x0, sin)), count);
}

}  // namespace

void Rope(float* head, const float* cos, const float* sin, size_t half, bool neox) {
  if (neox) {
    for (size_t i = 0; i < half; i += 16) {
      const size_t count = half - i < 16 ? half - i : 16;
      RotateHalves(head + i, head + half + i, LoadF32Partial(cos + i, count),
                   LoadF32Partial(sin + i, count), count);
    }
    return;
  }
  for (size_t i = 0; i < half; i += 8) {  // 8 pairs of neighbours
    const size_t count = half - i < 8 ? half - i : 8;
    const F32 x = LoadF32Partial(head + 2 * i, 2 * count);
    const F32 s = NegateEven(LoadTwice(sin + i, count));
    StoreF32Partial(head + 2 * i, Fma(x, LoadTwice(cos + i, count), Mul(SwapPairs(x), s)),
                    2 * count);
  }
}

}  // namespace lull::LULL_ISA
