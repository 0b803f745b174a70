// Q5_1: 32 weights d * q + m, q of 5 bits.
// File: f16 d, f16 m, 32 high bits, 16 bytes (low nibbles weights 0..15, high 16..31).
// Packed, 384 bytes: 4 vectors of nibbles, a bit plane, 16 f16 d, 16 f16 m.
namespace lull::LULL_ISA {

struct TypeQ5_1 {
  static constexpr char kName[] = "Q5_1";
  static constexpr uint32_t kGgufTypeId = 7;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 24, kPackedBlockBytes = 384;
  static constexpr bool kFloat = false;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 8, 4, block);
    for (size_t r = 0; r < 16; ++r) {
      StoreWord(block + 256 + 4 * r, PlaneWord(LoadWord(rows[r] + 4)));
    }
    InterleaveHalves(rows, 0, block + 320);
    InterleaveHalves(rows, 2, block + 352);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + 320, lane), m = LaneF16(block + 352, lane);
    for (size_t i = 0; i < 32; ++i) {
      const int q = NibbleAt(block, lane, i) | PlaneBit(block + 256, lane, i) << 4;
      out[i] = d * static_cast<float>(q) + m;
    }
  }

  static constexpr size_t kSubBytes = 320;
  static constexpr int kOffset = 0, kScales = 1;
  static constexpr bool kHasMin = true, kFullRange = false;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return FiveBitWord<kWord>(sub, sub + 256);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return LoadF16(s.block + 320); }
  static LULL_INLINE F32 Min(const State& s, size_t, int) { return LoadF16(s.block + 352); }
};
LULL_QUANT_TYPE(TypeQ5_1)

}  // namespace lull::LULL_ISA
