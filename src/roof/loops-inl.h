namespace lull::LULL_ISA {

// Reads bytes (a multiple of 256) and returns something that depends on all of them.
inline int64_t StreamBytes(const uint8_t* data, size_t bytes) {
  I32 s0 = Set1I32(0), s1 = s0, s2 = s0, s3 = s0;
  const int32_t* words = reinterpret_cast<const int32_t*>(data);
  for (size_t i = 0; i < bytes / 4; i += 64) {
    s0 = AddI32(s0, LoadI32(words + i));
    s1 = AddI32(s1, LoadI32(words + i + 16));
    s2 = AddI32(s2, LoadI32(words + i + 32));
    s3 = AddI32(s3, LoadI32(words + i + 48));
  }
  return SumLanesI32(AddI32(AddI32(s0, s1), AddI32(s2, s3)));
}

// iterations x 12 independent dots of 64 multiply-accumulates.
inline int64_t DotLoop(size_t iterations) {
  constexpr int kChains = 12;
  uint8_t bytes[64];
  for (int i = 0; i < 64; ++i) bytes[i] = static_cast<uint8_t>(i & 15);
  const U8 w = LoadU8(bytes);
  I32 acc[kChains];
  for (int c = 0; c < kChains; ++c) acc[c] = Set1I32(c);
  int32_t a = 0x01020304;
  for (size_t i = 0; i < iterations; ++i) {
    asm volatile("" : "+r"(a));  // keeps the loop from being folded
    for (int c = 0; c < kChains; ++c) acc[c] = DotU8(acc[c], w, a);
  }
  int64_t sum = 0;
  for (int c = 0; c < kChains; ++c) sum += SumLanesI32(acc[c]);
  return sum;
}

}  // namespace lull::LULL_ISA
