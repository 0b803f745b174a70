// exp, sigmoid and tanh on 16 lanes: the same operations, so the same bits, on every instruction
// set. docs/design/arithmetic.md, "Exponential".
namespace lull::LULL_ISA {

// e^x within 1 ulp; 0 below -87.3, infinity above 88.7, NaN for NaN.
LULL_INLINE F32 Exp(F32 x) {
  // Adding 1.5 * 2^23 rounds x / ln 2 to an integer n, left in the low bits of t.
  const F32 magic = Set1(12582912.0f);
  const F32 t = Fma(x, Set1(0x1.715476p+0f), magic);
  const F32 n = Sub(t, magic);
  F32 r = Fma(n, Set1(-0x1.62e43p-1f), x);
  r = Fma(n, Set1(0x1.05c61p-29f), r);
  F32 p = Set1(0x1.6a243ap-10f);
  p = Fma(p, r, Set1(0x1.1239ep-7f));
  p = Fma(p, r, Set1(0x1.5558f2p-5f));
  p = Fma(p, r, Set1(0x1.555492p-3f));
  p = Fma(p, r, Set1(0x1.fffffcp-2f));
  p = Add(Fma(p, Mul(r, r), r), Set1(1.0f));
  p = AddExponent(p, t);
  p = SelectLess(x, Set1(-87.3f), ZeroF32(), p);
  return SelectLess(Set1(88.7f), x, Set1(__builtin_inff()), p);
}

// x * sigmoid(z), as one division.
LULL_INLINE F32 GatedBySigmoid(F32 x, F32 z) {
  return Div(x, Add(Exp(Sub(ZeroF32(), z)), Set1(1.0f)));
}
LULL_INLINE F32 Sigmoid(F32 x) { return GatedBySigmoid(Set1(1.0f), x); }
LULL_INLINE F32 Silu(F32 x) { return GatedBySigmoid(x, x); }
// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): no cancellation.
LULL_INLINE F32 GeluTanh(F32 x) {
  const F32 cube = Mul(Mul(x, x), x);
  return GatedBySigmoid(x, Mul(Fma(cube, Set1(0.044715f), x), Set1(1.5957691f)));
}

LULL_INLINE F32 Tanh(F32 x) {
  const F32 magnitude = Abs(x);
  const F32 e = Exp(Mul(magnitude, Set1(-2.0f)));
  const F32 large = Div(Sub(Set1(1.0f), e), Add(Set1(1.0f), e));
  const F32 z = Mul(x, x);
  F32 p = Set1(-0x1.76eb74p-8f);
  p = Fma(p, z, Set1(0x1.526458p-6f));
  p = Fma(p, z, Set1(-0x1.b8463ep-5f));
  p = Fma(p, z, Set1(0x1.110776p-3f));
  p = Fma(p, z, Set1(-0x1.555534p-2f));
  const F32 small = Fma(Mul(p, z), x, x);
  return SelectLess(magnitude, Set1(0.625f), small,
                    SelectNegative(x, Sub(ZeroF32(), large), large));
}

// ln(1 + e^x) = max(x, 0) + 2 artanh(u / (2 + u)), u = e^-|x|.
LULL_INLINE F32 Softplus(F32 x) {
  const F32 u = Exp(Sub(ZeroF32(), Abs(x)));
  const F32 z = Div(u, Add(u, Set1(2.0f)));
  const F32 z2 = Mul(z, z);
  F32 p = Set1(2.0f / 15);
  p = Fma(p, z2, Set1(2.0f / 13));
  p = Fma(p, z2, Set1(2.0f / 11));
  p = Fma(p, z2, Set1(2.0f / 9));
  p = Fma(p, z2, Set1(2.0f / 7));
  p = Fma(p, z2, Set1(2.0f / 5));
  p = Fma(p, z2, Set1(2.0f / 3));
  p = Fma(p, z2, Set1(2.0f));
  return Fma(p, z, Max(x, ZeroF32()));
}

}  // namespace lull::LULL_ISA
