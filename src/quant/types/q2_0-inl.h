// Q2_0: 64 weights d * (q - 1), q of 2 bits.
// File: f16 d, 16 bytes of pairs in order, from the lowest bits up. Packed, 288 bytes: per
// sub-block of 32 2 vectors of pairs; 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ2_0 {
  static constexpr char kName[] = "Q2_0";
  static constexpr uint32_t kGgufTypeId = 42;
  static constexpr size_t kBlockK = 64, kFileBlockBytes = 18, kPackedBlockBytes = 288;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = kPairBytes, kDAt = 2 * kSubBytes;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 2; ++sub) {
        uint32_t words[8];
        for (size_t w = 0; w < 8; ++w) {
          const uint32_t byte = rows[r][2 + 8 * sub + w];
          words[w] = (byte | byte << 6 | byte << 12 | byte << 18) & 0x03030303u;
        }
        StorePairs(words, r, block + sub * kSubBytes);
      }
    }
    InterleaveHalves(rows, 0, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    for (size_t i = 0; i < 64; ++i)
      out[i] = static_cast<float>(PairAt(block + i / 32 * kSubBytes, lane, i % 32) - 1) * d;
  }

  static constexpr int kOffset = 1, kScales = 1, kTop = 3;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    F32 d;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.d = LoadF16(block + kDAt); }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return PairWord<kWord>(sub);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return s.d; }
};
LULL_QUANT_TYPE(TypeQ2_0)

}  // namespace lull::LULL_ISA
