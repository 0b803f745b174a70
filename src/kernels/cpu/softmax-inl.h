// Softmax over one row. docs/design/arithmetic.md, "Softmax".
#include "kernels/cpu/math-inl.h"

namespace lull::LULL_ISA {

void Softmax(const float* x, size_t n, float* out) {
  const float lowest = -__builtin_inff();
  F32 max = Set1(lowest);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) max = Max(max, LoadF32(x + i));
  if (i < n) max = Max(max, FillFrom(LoadF32Partial(x + i, n - i), n - i, lowest));
  const F32 shift = Set1(MaxLanes(max));
  F32 sum = ZeroF32();
  for (i = 0; i + 16 <= n; i += 16) {
    const F32 e = Exp(Sub(LoadF32(x + i), shift));
    sum = Add(sum, e);
    StoreF32(out + i, e);
  }
  if (i < n) {
    const F32 e = FillFrom(Exp(Sub(LoadF32Partial(x + i, n - i), shift)), n - i, 0.0f);
    sum = Add(sum, e);
    StoreF32Partial(out + i, e, n - i);
  }
  const F32 inverse = Div(Set1(1.0f), Set1(SumLanes(sum)));
  for (i = 0; i + 16 <= n; i += 16) StoreF32(out + i, Mul(LoadF32(out + i), inverse));
  if (i < n) StoreF32Partial(out + i, Mul(LoadF32Partial(out + i, n - i), inverse), n - i);
}

}  // namespace lull::LULL_ISA
