// Index of the largest value. NaN never wins; all NaN gives 0.
namespace lull::LULL_ISA {
namespace {

// The largest of x[0..n), -inf where all are NaN. Max keeps its second operand against NaN.
LULL_INLINE float MaxOf(const float* x, size_t n) {
  const float lowest = -__builtin_inff();
  F32 a = Set1(lowest), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    a = Max(LoadF32(x + i), a);
    b = Max(LoadF32(x + i + 16), b);
    c = Max(LoadF32(x + i + 32), c);
    d = Max(LoadF32(x + i + 48), d);
  }
  for (; i + 16 <= n; i += 16) a = Max(LoadF32(x + i), a);
  if (i < n) b = Max(FillFrom(LoadF32Partial(x + i, n - i), n - i, lowest), b);
  return MaxLanes(Max(Max(a, b), Max(c, d)));
}

}  // namespace

size_t ArgMax(const float* x, size_t n) {
  // The first block that holds the maximum, then the first equal element from there on.
  constexpr size_t kBlock = 1024;
  float best = -__builtin_inff();
  size_t best_begin = 0;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const float max = MaxOf(x + begin, n - begin < kBlock ? n - begin : kBlock);
    if (max > best) {
      best = max;
      best_begin = begin;
    }
  }
  for (size_t i = best_begin; i < n; ++i) {
    if (x[i] == best) return i;
  }
  return 0;
}

}  // namespace lull::LULL_ISA
