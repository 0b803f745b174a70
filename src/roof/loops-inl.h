// The loops whose speed is the roof of an instruction set: reads, writes, and arithmetic on
// registers alone. Enough independent chains to hide latency, few enough to stay in registers.
namespace lull::LULL_ISA {

constexpr int kFloatChains = kF32Registers >= 32 ? 14 : kF32Registers >= 8 ? 7 : 1;
// Two lengths: where there is no dot instruction the shorter one leaves room for its temporaries.
constexpr int kDotChains = kF32Registers >= 32 ? 14 : kF32Registers >= 8 ? 6 : 1;
constexpr int kFewDotChains = kF32Registers >= 32 ? 12 : kF32Registers >= 8 ? 5 : 1;

// Of whatever the lanes hold, modulo 2^32: only that it depends on all of them matters.
inline int64_t WrappingSum(I32 v) {
  int32_t lanes[16];
  StoreI32(lanes, v);
  uint32_t sum = 0;
  for (const int32_t lane : lanes) sum += static_cast<uint32_t>(lane);
  return sum;
}

// Reads bytes (a multiple of 512) as one stream, fetching kAhead bytes ahead (0: the hardware's
// prefetchers alone), and returns something that depends on all of them: a maximum, as a sum of
// anything may overflow.
template <size_t kAhead>
inline int64_t ReadOneStream(const uint8_t* data, size_t bytes) {
  I32 s0 = Set1I32(0), s1 = s0, s2 = s0, s3 = s0;
  const int32_t* words = reinterpret_cast<const int32_t*>(data);
  for (size_t i = 0; i < bytes / 4; i += 128) {
    if constexpr (kAhead > 0) {
#pragma GCC unroll 8
      for (size_t line = 0; line < 8; ++line) Prefetch(words + i + 16 * line + kAhead / 4);
    }
#pragma GCC unroll 2
    for (size_t half = 0; half < 128; half += 64) {
      s0 = MaxI32(s0, LoadI32(words + i + half));
      s1 = MaxI32(s1, LoadI32(words + i + half + 16));
      s2 = MaxI32(s2, LoadI32(words + i + half + 32));
      s3 = MaxI32(s3, LoadI32(words + i + half + 48));
    }
  }
  return WrappingSum(MaxI32(MaxI32(s0, s1), MaxI32(s2, s3)));
}

// The same as four streams side by side.
template <size_t kAhead>
inline int64_t ReadFourStreams(const uint8_t* data, size_t bytes) {
  const size_t words_each = bytes / 4 / 64 * 16;
  const int32_t* p0 = reinterpret_cast<const int32_t*>(data);
  const int32_t *p1 = p0 + words_each, *p2 = p1 + words_each, *p3 = p2 + words_each;
  I32 s0 = Set1I32(0), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < words_each; i += 16) {
    Prefetch(p0 + i + kAhead / 4);
    Prefetch(p1 + i + kAhead / 4);
    Prefetch(p2 + i + kAhead / 4);
    Prefetch(p3 + i + kAhead / 4);
    s0 = MaxI32(s0, LoadI32(p0 + i));
    s1 = MaxI32(s1, LoadI32(p1 + i));
    s2 = MaxI32(s2, LoadI32(p2 + i));
    s3 = MaxI32(s3, LoadI32(p3 + i));
  }
  return WrappingSum(MaxI32(MaxI32(s0, s1), MaxI32(s2, s3)));
}

// Writes bytes, a multiple of 256.
inline void WriteBytes(uint8_t* data, size_t bytes) {
  const I32 value = Set1I32(static_cast<int32_t>(bytes));
  int32_t* words = reinterpret_cast<int32_t*>(data);
  for (size_t i = 0; i < bytes / 4; i += 64) {
#pragma GCC unroll 4
    for (size_t line = 0; line < 4; ++line) StoreI32(words + i + 16 * line, value);
    asm volatile("" ::: "memory");  // one pass is not part of the next
  }
}

// Sums named one by one: an array of them is kept in memory by some compilers. No two have the same
// weights, or the products of an instruction set without a dot instruction could be shared.
template <int kN>
struct DotChains {
  DotChains<kN - 1> others;
  I32 sum;
  U8 w;
  LULL_INLINE void Start(const uint8_t* bytes) {
    sum = Set1I32(kN);
    w = LoadU8(bytes + kN);
    others.Start(bytes);
  }
  LULL_INLINE void Step(int32_t a4) {
    sum = DotU8(sum, w, a4);
    others.Step(a4);
  }
  LULL_INLINE int64_t Total() const { return WrappingSum(sum) + others.Total(); }
};
template <>
struct DotChains<0> {
  LULL_INLINE void Start(const uint8_t*) {}
  LULL_INLINE void Step(int32_t) {}
  LULL_INLINE int64_t Total() const { return 0; }
};

// iterations (a multiple of 4) x kChains independent dots of 64 multiply-accumulates.
template <int kChains>
inline int64_t DotLoop(size_t iterations) {
  uint8_t bytes[64 + kChains + 1];
  for (int i = 0; i < 64 + kChains + 1; ++i) bytes[i] = static_cast<uint8_t>(i & 15);
  int32_t a4 = 0x01020304;
  DotChains<kChains> chains;
  chains.Start(bytes);
  for (size_t i = 0; i < iterations; i += 4) {
    // Loads are free beside dots; the barriers keep the loop from being folded.
    asm volatile("" : "+m"(a4));
    chains.Step(a4);
    asm volatile("" : "+m"(a4));
    chains.Step(a4);
    asm volatile("" : "+m"(a4));
    chains.Step(a4);
    asm volatile("" : "+m"(a4));
    chains.Step(a4);
  }
  return chains.Total();
}

// iterations x kFloatChains x 16 fused multiply-adds.
inline int64_t FmaLoop(size_t iterations) {
  F32 acc[kFloatChains];
#pragma GCC unroll 14
  for (int c = 0; c < kFloatChains; ++c) acc[c] = Set1(static_cast<float>(c));
  float x = 0.5f;
  asm volatile("" : "+m"(x));
  const F32 a = Set1(x), b = Set1(x + 1.0f);
  for (size_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 14
    for (int c = 0; c < kFloatChains; ++c) acc[c] = Fma(acc[c], a, b);
  }
  float sum = 0;
#pragma GCC unroll 14
  for (int c = 0; c < kFloatChains; ++c) sum += SumLanes(acc[c]);
  return static_cast<int64_t>(sum);
}

// iterations x kFloatChains x 16 divisions.
inline int64_t DivideLoop(size_t iterations) {
  F32 acc[kFloatChains];
#pragma GCC unroll 14
  for (int c = 0; c < kFloatChains; ++c) acc[c] = Set1(static_cast<float>(c + 1));
  float x = 3.0f;
  asm volatile("" : "+m"(x));
  const F32 a = Set1(x);
  for (size_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 14
    for (int c = 0; c < kFloatChains; ++c) acc[c] = Div(a, acc[c]);
  }
  float sum = 0;
#pragma GCC unroll 14
  for (int c = 0; c < kFloatChains; ++c) sum += SumLanes(acc[c]);
  return static_cast<int64_t>(sum);
}

}  // namespace lull::LULL_ISA
