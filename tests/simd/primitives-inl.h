// Applies every primitive to the same inputs and appends all results to out, so that two
// instruction sets can be compared with memcmp.
namespace lull::LULL_ISA {

inline size_t RunPrimitives(const float* x, const float* y, const uint8_t* bytes, uint8_t* out) {
  size_t n = 0;
  float f[16];
  int32_t w[16];
  uint16_t h[16];
  uint8_t b64[64];
  int8_t b16[16];
#define PUT(ptr, size) (memcpy(out + n, ptr, size), n += (size))
#define PUT_F32(expr) (StoreF32(f, expr), PUT(f, 64))
#define PUT_I32(expr) (StoreI32(w, expr), PUT(w, 64))
#define PUT_U8(expr) (StoreU8(b64, expr), PUT(b64, 64))
  const F32 a = LoadF32(x), b = LoadF32(y), c = LoadF32(x + 16);
  PUT_F32(Add(a, b));
  PUT_F32(Sub(a, b));
  PUT_F32(Mul(a, b));
  PUT_F32(Div(a, b));
  PUT_F32(Fma(a, b, c));
  PUT_F32(Sqrt(Abs(a)));
  PUT_F32(Max(a, b));
  PUT_F32(Min(a, b));
  PUT_F32(RoundEven(a));
  PUT_I32(ToI32(a));
  PUT_F32(SelectNegative(a, b, c));
  PUT_F32(SelectLess(a, b, b, c));
  PUT_F32(SwapPairs(a));
  PUT_F32(NegateEven(a));
  for (size_t k = 0; k <= 8; ++k) PUT_F32(LoadTwice(x + 3, k));
  PUT_I32(MaxI32(AsI32(a), AsI32(b)));
  PUT_F32(AsF32(AsI32(c)));
  PUT_F32(AddExponent(
      Set1(1.5f),
      Add(RoundEven(Mul(ToF32(LoadI8AsI32(reinterpret_cast<const int8_t*>(bytes))), Set1(0.5f))),
          Set1(12582912.0f))));
  const int32_t imax = MaxLanesI32(AsI32(a));
  PUT(&imax, 4);
  for (size_t k = 0; k <= 16; ++k) {
    PUT_F32(FillFrom(a, k, 3.0f));
    PUT_F32(LoadF32Partial(x, k));
    memset(f, 0, 64);
    StoreF32Partial(f, a, k);
    PUT(f, 64);
  }
  const float sum = SumLanes(a), max = MaxLanes(a);
  PUT(&sum, 4);
  PUT(&max, 4);
  StoreF16(h, a);
  PUT(h, 32);
  PUT_F32(LoadF16(h));
  StoreBf16(h, a);
  PUT(h, 32);
  PUT_F32(LoadBf16(h));
  const int8_t* sbytes = reinterpret_cast<const int8_t*>(bytes);
  memcpy(w, bytes, 64);
  const I32 i = LoadI32(w), j = LoadI8AsI32(sbytes);
  PUT_I32(AddI32(j, Set1I32(7)));
  PUT_I32(SubI32(i, j));
  PUT_I32(MulI32(j, LoadU8AsI32(bytes + 16)));
  PUT_I32(ShiftLeft<23>(j));
  PUT_F32(ToF32(i));
  PUT_F32(Pow2(Set1I32(sbytes[0] % 127)));
  StoreI32AsI8(b16, MulI32(j, Set1I32(3)));
  PUT(b16, 16);
  const int32_t isum = SumLanesI32(j);
  PUT(&isum, 4);
  const U8 u = LoadU8(bytes), v = LoadU8(bytes + 64);
  uint64_t mask;
  memcpy(&mask, bytes + 8, 8);
  PUT_U8(LowNibbles(u));
  PUT_U8(HighNibbles(u));
  PUT_U8(OrU8(u, v));
  PUT_U8(ShiftRightMask<2>(u, 3));
  PUT_U8(ShiftRightMask<6>(u, 3));
  PUT_U8(MaskShiftLeft<4>(u, 3));
  PUT_U8(MaskShiftLeft<2>(u, 12));
  PUT_U8(OrShifted<4>(LowNibbles(u), v, 0x30));
  PUT_U8(OrShifted<0>(LowNibbles(u), v, 0x10));
  PUT_U8(OrShifted<-3>(LowNibbles(u), v, 0x10));
  PUT_U8(Lookup16(LowNibbles(u), bytes + 32));
  PUT_U8(Lookup16(HighNibbles(u), bytes + 100));
  PUT_U8(OrWhere(LowNibbles(u), mask, 16));
  // Activations are -127..127; plain dots take bytes up to 63 here, Q8 dots the full range.
  int8_t act[64];
  int32_t act_sum = 0;
  for (int k = 0; k < 32; ++k) {
    act[k] = sbytes[k] == -128 ? -127 : sbytes[k];
    act_sum += act[k];
  }
  I32 dot = Set1I32(-5), q8 = Q8Start(act_sum);
  for (int k = 0; k < 32; k += 4) {
    dot = DotU8(dot, ShiftRightMask<2>(k % 8 ? u : v, 63), LoadA4(act + k));
    q8 = DotQ8(q8, k % 8 ? u : v, LoadA4(act + k));
  }
  PUT_I32(dot);
  // Eight words of bytes up to 16, of the largest activations.
  Partial partial = ZeroPartial();
  memset(act, mask & 1 ? 127 : -127, 4);
  memset(b64, 16, 64);
  for (int k = 0; k < 8; ++k) {
    partial = DotPartial(partial, k % 3 == 0 ? LowNibbles(u) : LoadU8(b64), LoadA4(act));
  }
  PUT_I32(AddPartial(dot, partial));
  PUT_I32(q8);
#undef PUT
#undef PUT_F32
#undef PUT_I32
#undef PUT_U8
  return n;
}

}  // namespace lull::LULL_ISA
