// IQ4_XS: 256 weights in eight sub-blocks of 32, d * (sc - 32) * code[q], sc of 6 bits, q of 4
// bits, codes of kIq4Codes. File: f16 d, 2 bytes of top bits of sc (from bit 0 up), 4 bytes of
// nibbles of sc (low: the even sub-block's), 128 bytes (of each 16 low nibbles weights 0..15 of a
// sub-block, high 16..31). Packed, 2176 bytes: per sub-block 4 vectors of nibbles; 4 x 16 bytes of
// nibbles of sc, byte 32 (p / 2) + 16 i + lane, low for even p, of sub-block 2 p + i; 2 x 16 bytes
// of top bits, bits 2 p of byte 16 i + lane; 16 f16 d.
namespace lull::LULL_ISA {

struct TypeIQ4_XS {
  static constexpr char kName[] = "IQ4_XS";
  static constexpr uint32_t kGgufTypeId = 23;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 136, kPackedBlockBytes = 2176;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = 256, kScalesAt = 8 * kSubBytes, kTopsAt = kScalesAt + 64,
                          kDAt = kTopsAt + 32;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t sub = 0; sub < 8; ++sub)
      InterleaveWords(rows, 8 + 16 * sub, 4, block + sub * kSubBytes);
    memset(block + kScalesAt, 0, 96);
    for (size_t r = 0; r < 16; ++r) {
      const uint32_t tops = LoadHalf(rows[r] + 2);
      for (size_t sub = 0; sub < 8; ++sub) {
        const size_t p = sub / 2, i = sub % 2;
        const int nibble = rows[r][4 + p] >> (4 * i) & 15;
        const int top = static_cast<int>(tops >> (2 * sub) & 3);
        OrInto(block + kScalesAt + 32 * (p / 2) + 16 * i + r, nibble << (4 * (p % 2)));
        OrInto(block + kTopsAt + 16 * i + r, top << (2 * p));
      }
    }
    InterleaveHalves(rows, 0, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    for (size_t i = 0; i < 256; ++i) {
      const size_t sub = i / 32, p = sub / 2, at = 16 * (sub % 2) + lane;
      const int nibble = block[kScalesAt + 32 * (p / 2) + at] >> (4 * (p % 2)) & 15;
      const int sc = nibble | (block[kTopsAt + at] >> (2 * p) & 3) << 4;
      const int code = kIq4Codes[NibbleAt(block + sub * kSubBytes, lane, i % 32)] - 128;
      out[i] = d * static_cast<float>(sc - 32) * static_cast<float>(code);
    }
  }

  static constexpr int kOffset = 128, kScales = 1;
  static constexpr bool kHasMin = false, kFullRange = true;
  struct State {
    alignas(64) uint8_t sc[128 + 32];  // the last store goes 32 bytes beyond
    F32 d;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    const uint8_t* p = block + kScalesAt;
    // Each has 32 bytes that count; the stores go upwards, so that those remain.
    const U8 first = LoadU8(p), second = LoadU8(p + 32), tops = LoadU8(p + 64);
    StoreU8(s.sc, OrShifted<4>(LowNibbles(first), tops, 0x30));
    StoreU8(s.sc + 32, OrShifted<2>(HighNibbles(first), tops, 0x30));
    StoreU8(s.sc + 64, OrShifted<0>(LowNibbles(second), tops, 0x30));
    StoreU8(s.sc + 96, OrShifted<-2>(HighNibbles(second), tops, 0x30));
    s.d = LoadF16(block + kDAt);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return Lookup16(NibbleWord<kWord>(sub), kIq4Codes);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t sub, int) {
    return Mul(s.d, ToF32(SubScale(s, sub, 0)));
  }

  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int) {
    return SubI32(LoadU8AsI32(s.sc + 16 * sub), Set1I32(32));
  }
  // The scales of sub-blocks 2 pair and 2 pair + 1: what the offset is multiplied with.
  static LULL_INLINE I32 Pair(const State& s, size_t pair) {
    return PairI16(SubScale(s, 2 * pair, 0), SubScale(s, 2 * pair + 1, 0));
  }
  static LULL_INLINE F32 SuperScale(const State& s) { return s.d; }

 private:
  static void OrInto(uint8_t* byte, int bits) { *byte = static_cast<uint8_t>(*byte | bits); }
};
LULL_QUANT_TYPE(TypeIQ4_XS)

}  // namespace lull::LULL_ISA
