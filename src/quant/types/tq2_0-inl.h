// TQ2_0: 256 weights d * (q - 1), q of 2 bits (0..2 for ternary weights).
// File: 64 bytes of pairs, f16 d. Packed, 1056 bytes: per sub-block of 32 2 vectors of pairs; 16
// f16 d.
namespace lull::LULL_ISA {

struct TypeTQ2_0 {
  static constexpr char kName[] = "TQ2_0";
  static constexpr uint32_t kGgufTypeId = 35;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 66, kPackedBlockBytes = 1056;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = kPairBytes, kDAt = 8 * kSubBytes;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 8; ++sub) RepackPairs(rows[r], sub, r, block + sub * kSubBytes);
    }
    InterleaveHalves(rows, 64, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    for (size_t i = 0; i < 256; ++i)
      out[i] = d * static_cast<float>(PairAt(block + i / 32 * kSubBytes, lane, i % 32) - 1);
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
LULL_QUANT_TYPE(TypeTQ2_0)

}  // namespace lull::LULL_ISA
