// Q2_K: 256 weights, d * sc * q - dmin * m, q of 2 bits, sc and m of 4 bits for each 16 weights.
// File: 16 bytes (low nibble sc, high m), 64 bytes of pairs, f16 d, f16 dmin.
// Packed, 1344 bytes: per sub-block of 32 2 vectors of pairs; 16 x 16 bytes of sc and m; 16 f16 d;
// 16 f16 dmin.
namespace lull::LULL_ISA {

struct TypeQ2_K {
  static constexpr char kName[] = "Q2_K";
  static constexpr uint32_t kGgufTypeId = 10;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 84, kPackedBlockBytes = 1344;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = kPairBytes, kScalesAt = 8 * kSubBytes, kDAt = kScalesAt + 256;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 8; ++sub)
        RepackPairs(rows[r] + 16, sub, r, block + sub * kSubBytes);
      for (size_t i = 0; i < 16; ++i) block[kScalesAt + 16 * i + r] = rows[r][i];
    }
    InterleaveHalves(rows, 80, block + kDAt);
    InterleaveHalves(rows, 82, block + kDAt + 32);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane), dmin = LaneF16(block + kDAt + 32, lane);
    for (size_t i = 0; i < 256; ++i) {
      const uint8_t scales = block[kScalesAt + 16 * (i / 16) + lane];
      const float scale = d * static_cast<float>(scales & 15);
      const float min = dmin * static_cast<float>(scales >> 4);
      const int q = PairAt(block + i / 32 * kSubBytes, lane, i % 32);
      out[i] = scale * static_cast<float>(q) - min;
    }
  }

  static constexpr int kOffset = 0, kScales = 2, kTop = 3;
  static constexpr bool kHasMin = true, kFullRange = false;
  struct State {
    alignas(64) uint8_t sc[256];
    alignas(64) uint8_t m[256];
    F32 d, dmin;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    for (size_t at = 0; at < 256; at += 64) {
      const U8 both = LoadU8(block + kScalesAt + at);
      StoreU8(s.sc + at, LowNibbles(both));
      StoreU8(s.m + at, HighNibbles(both));
    }
    s.d = LoadF16(block + kDAt);
    s.dmin = LoadF16(block + kDAt + 32);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return PairWord<kWord>(sub);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t sub, int half) {
    return Mul(s.d, ToF32(SubScale(s, sub, half)));
  }
  static LULL_INLINE F32 Min(const State& s, size_t sub, int half) {
    const uint8_t* m = s.m + 32 * sub + 16 * static_cast<size_t>(half);
    return Sub(ZeroF32(), Mul(s.dmin, ToF32(LoadU8AsI32(m))));
  }

  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int half) {
    return LoadU8AsI32(s.sc + 32 * sub + 16 * static_cast<size_t>(half));
  }
  // The mins of halves 2 pair and 2 pair + 1.
  static LULL_INLINE I32 Pair(const State& s, size_t pair) {
    return PairI16(LoadU8AsI32(s.m + 32 * pair), LoadU8AsI32(s.m + 32 * pair + 16));
  }
  static LULL_INLINE F32 SuperScale(const State& s) { return s.d; }
  static LULL_INLINE F32 SuperMinScale(const State& s) { return Sub(ZeroF32(), s.dmin); }
};
LULL_QUANT_TYPE(TypeQ2_K)

}  // namespace lull::LULL_ISA
