// RMS norm and layer norm. docs/design/arithmetic.md, "Norms".
namespace lull::LULL_ISA {

void RmsNorm(const float* x, const float* weight, float eps, size_t n, float* out) {
  F32 squares = ZeroF32();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F32 v = LoadF32(x + i);
    squares = Fma(v, v, squares);
  }
  if (i < n) {
    const F32 v = LoadF32Partial(x + i, n - i);
    squares = Fma(v, v, squares);
  }
  const float mean = SumLanes(squares) / static_cast<float>(n);
  const F32 inverse = Div(Set1(1.0f), Sqrt(Set1(mean + eps)));
  for (i = 0; i + 16 <= n; i += 16) {
    const F32 v = Mul(LoadF32(x + i), inverse);
    StoreF32(out + i, weight == nullptr ? v : Mul(v, LoadF32(weight + i)));
  }
  if (i < n) {
    const F32 v = Mul(LoadF32Partial(x + i, n - i), inverse);
    StoreF32Partial(out + i, weight == nullptr ? v : Mul(v, LoadF32Partial(weight + i, n - i)),
                    n - i);
  }
}

void LayerNorm(const float* x, const float* weight, float eps, size_t n, float* out) {
  F32 sum = ZeroF32();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) sum = Add(sum, LoadF32(x + i));
  if (i < n) sum = Add(sum, LoadF32Partial(x + i, n - i));
  const F32 mean = Set1(SumLanes(sum) / static_cast<float>(n));
  for (i = 0; i + 16 <= n; i += 16) StoreF32(out + i, Sub(LoadF32(x + i), mean));
  if (i < n) StoreF32Partial(out + i, Sub(LoadF32Partial(x + i, n - i), mean), n - i);
  RmsNorm(out, weight, eps, n, out);
}

}  // namespace lull::LULL_ISA
