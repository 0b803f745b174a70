// Q3_K: 256 weights, d * (sc - 32) * (q - 4), q of 3 bits, sc of 6 bits for each 16 weights.
// File: 32 bytes of high bits (bit j of byte i: weight i of sub-block j), 64 bytes of pairs, 12
// bytes of sc (low 4 bits of sc[i] and sc[i + 8] in the nibbles of byte i < 8; top bits of sc[i],
// sc[i + 4], sc[i + 8] and sc[i + 12] from bit 0 up in byte 8 + i, i < 4), f16 d.
// Packed, 1760 bytes: per sub-block of 32 2 vectors of pairs and a bit plane; 12 x 16 bytes of sc,
// as in the file; 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ3_K {
  static constexpr char kName[] = "Q3_K";
  static constexpr uint32_t kGgufTypeId = 11;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 110, kPackedBlockBytes = 1760;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = kPairBytes + 64, kScalesAt = 8 * kSubBytes,
                          kDAt = kScalesAt + 192;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 8; ++sub) {
        RepackPairs(rows[r] + 32, sub, r, block + sub * kSubBytes);
        StoreWord(block + sub * kSubBytes + kPairBytes + 4 * r, KPlaneWord(rows[r], sub));
      }
      for (size_t i = 0; i < 12; ++i) block[kScalesAt + 16 * i + r] = rows[r][96 + i];
    }
    InterleaveHalves(rows, 108, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    const uint8_t* scales = block + kScalesAt + lane;
    for (size_t i = 0; i < 256; ++i) {
      const size_t j = i / 16;
      const int low = scales[16 * (j % 8)] >> (4 * (j / 8)) & 15;
      const int sc = low | (scales[16 * (8 + j % 4)] >> (2 * (j / 4)) & 3) << 4;
      const uint8_t* sub = block + i / 32 * kSubBytes;
      const int q = PairAt(sub, lane, i % 32) | PlaneBit(sub + kPairBytes, lane, i % 32) << 2;
      out[i] = d * static_cast<float>(sc - 32) * static_cast<float>(q - 4);
    }
  }

  static constexpr int kOffset = 4, kScales = 2, kTop = 7;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    alignas(64) uint8_t sc[256];
    F32 d;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    const uint8_t* p = block + kScalesAt;
    const U8 first = LoadU8(p), second = LoadU8(p + 64), tops = LoadU8(p + 128);
    StoreU8(s.sc, OrShifted<4>(LowNibbles(first), tops, 0x30));
    StoreU8(s.sc + 64, OrShifted<2>(LowNibbles(second), tops, 0x30));
    StoreU8(s.sc + 128, OrShifted<0>(HighNibbles(first), tops, 0x30));
    StoreU8(s.sc + 192, OrShifted<-2>(HighNibbles(second), tops, 0x30));
    s.d = LoadF16(block + kDAt);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return OrShifted<2 - kWord>(PairWord<kWord>(sub), LoadU8(sub + kPairBytes), 4);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t sub, int half) {
    return Mul(s.d, ToF32(SubScale(s, sub, half)));
  }

  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int half) {
    return ScaleAt(s, 2 * sub + static_cast<size_t>(half));
  }
  // The scales of halves 2 pair and 2 pair + 1: what the offset is multiplied with.
  static LULL_INLINE I32 Pair(const State& s, size_t pair) {
    return PairI16(ScaleAt(s, 2 * pair), ScaleAt(s, 2 * pair + 1));
  }
  static LULL_INLINE F32 SuperScale(const State& s) { return s.d; }

 private:
  static LULL_INLINE I32 ScaleAt(const State& s, size_t half) {
    return SubI32(LoadU8AsI32(s.sc + 16 * half), Set1I32(32));
  }
};
LULL_QUANT_TYPE(TypeQ3_K)

}  // namespace lull::LULL_ISA
