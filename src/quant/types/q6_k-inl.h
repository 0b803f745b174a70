// Q6_K: 256 weights, d * sc * (q - 32), q of 6 bits, a signed 8-bit sc for each 16 weights.
// File: 128 bytes of low nibbles, 64 bytes of top bits, 16 sc, f16 d. Of each half of 128 weights,
// sub-block s (0..3) has its nibbles in bytes 32 (s % 2) and up of the half's 64, low for s < 2 and
// high above, and its top bits in bits 2 s and 2 s + 1 of the half's 32 bytes.
// Packed, 3360 bytes: per sub-block of 32 4 vectors of nibbles and 2 planes of top bits;
// 16 x 16 sc; 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ6_K {
  static constexpr char kName[] = "Q6_K";
  static constexpr uint32_t kGgufTypeId = 14;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 210, kPackedBlockBytes = 3360;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = 384, kScalesAt = 8 * kSubBytes, kDAt = kScalesAt + 256;

  static void RepackSub(const uint8_t* row, size_t sub, size_t lane, uint8_t* dst) {
    const size_t half = sub / 4, s = sub % 4;
    const uint8_t* ql = row + 64 * half + 32 * (s % 2);
    const uint8_t* qh = row + 128 + 32 * half;
    const int nibble_shift = s < 2 ? 0 : 4;
    for (size_t w = 0; w < 4; ++w) {
      const uint32_t a = LoadWord(ql + 4 * w) >> nibble_shift & kLowNibbles;
      const uint32_t b = LoadWord(ql + 16 + 4 * w) >> nibble_shift & kLowNibbles;
      StoreWord(dst + 64 * w + 4 * lane, a | b << 4);
    }
    for (size_t plane = 0; plane < 2; ++plane) {
      uint32_t word = 0;
      for (size_t w = 0; w < 4; ++w) {
        word |= (LoadWord(qh + 16 * plane + 4 * w) >> (2 * s) & 0x03030303u) << (2 * w);
      }
      StoreWord(dst + 256 + 64 * plane + 4 * lane, word);
    }
  }
  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 8; ++sub) RepackSub(rows[r], sub, r, block + sub * kSubBytes);
      for (size_t i = 0; i < 16; ++i) block[kScalesAt + 16 * i + r] = rows[r][192 + i];
    }
    InterleaveHalves(rows, 208, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    for (size_t i = 0; i < 256; ++i) {
      const uint8_t* sub = block + i / 32 * kSubBytes;
      const uint8_t plane = sub[256 + 64 * (i % 32 / 16) + 4 * lane + i % 4];
      const int q = NibbleAt(sub, lane, i % 32) | (plane >> (2 * (i % 16 / 4)) & 3) << 4;
      const int8_t sc = static_cast<int8_t>(block[kScalesAt + 16 * (i / 16) + lane]);
      out[i] = d * static_cast<float>(sc) * static_cast<float>(q - 32);
    }
  }

  static constexpr int kOffset = 32, kScales = 2;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    const int8_t* sc;
    F32 d;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    s.sc = reinterpret_cast<const int8_t*>(block + kScalesAt);
    s.d = LoadF16(block + kDAt);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return SixBitWord<kWord>(sub, sub + 256);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t sub, int half) {
    return Mul(s.d, ToF32(SubScale(s, sub, half)));
  }

  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int half) {
    return LoadI8AsI32(s.sc + 32 * sub + 16 * static_cast<size_t>(half));
  }
  // The scales of halves 2 pair and 2 pair + 1: what the offset is multiplied with.
  static LULL_INLINE I32 Pair(const State& s, size_t pair) {
    return PairI16(LoadI8AsI32(s.sc + 32 * pair), LoadI8AsI32(s.sc + 32 * pair + 16));
  }
  static LULL_INLINE F32 SuperScale(const State& s) { return s.d; }
};
LULL_QUANT_TYPE(TypeQ6_K)

}  // namespace lull::LULL_ISA
