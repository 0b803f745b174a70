// What the machine can do: int8 dots on registers, and reads of a large buffer.
namespace lull::LULL_ISA {

// 12 independent chains of `steps` dots; 12 * 64 * steps MAC.
inline int32_t PeakDots(size_t steps, const uint8_t* bytes) {
  U8 w = LoadU8(bytes);
  int32_t a4 = LoadA4(reinterpret_cast<const int8_t*>(bytes + 64));
  I32 acc[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) acc[i] = Set1I32(i);
  for (size_t s = 0; s < steps; ++s) {
    // Hides the operands from the optimiser, so that nothing is hoisted or folded.
    asm volatile("" : "+m"(a4));
    const int32_t a = a4;
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = DotU8(acc[i], w, a);
  }
  int32_t sum = 0;
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum += SumLanesI32(acc[i]);
  return sum;
}

inline int32_t ReadAll(const uint8_t* p, size_t bytes) {
  I32 acc[4] = {Set1I32(0), Set1I32(0), Set1I32(0), Set1I32(0)};
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      Prefetch(p + i + 64 * j + 2048);
      acc[j] = AddI32(acc[j], LoadI32(reinterpret_cast<const int32_t*>(p + i + 64 * j)));
    }
  }
  return SumLanesI32(AddI32(AddI32(acc[0], acc[1]), AddI32(acc[2], acc[3])));
}

}  // namespace lull::LULL_ISA
