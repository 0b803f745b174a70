// out[i] = op(x[i]) and out[i] = op(a[i], b[i]) for any n, in place allowed.
namespace lull::LULL_ISA {

template <typename Op>
LULL_INLINE void Map(const float* x, size_t n, float* out, const Op& op) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) StoreF32(out + i, op.Apply(LoadF32(x + i)));
  if (i < n) StoreF32Partial(out + i, op.Apply(LoadF32Partial(x + i, n - i)), n - i);
}

template <typename Op>
LULL_INLINE void Map2(const float* a, const float* b, size_t n, float* out, const Op& op) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) StoreF32(out + i, op.Apply(LoadF32(a + i), LoadF32(b + i)));
  if (i < n) {
    const F32 v = op.Apply(LoadF32Partial(a + i, n - i), LoadF32Partial(b + i, n - i));
    StoreF32Partial(out + i, v, n - i);
  }
}

}  // namespace lull::LULL_ISA
