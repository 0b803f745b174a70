// Q5_0: 32 weights d * (q - 16), q of 5 bits.
// File: f16 d, 32 high bits, 16 bytes (low nibbles weights 0..15, high 16..31).
// Packed, 352 bytes: 4 vectors of nibbles, a bit plane, 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ5_0 {
  static constexpr char kName[] = "Q5_0";
  static constexpr uint32_t kGgufTypeId = 6;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 22, kPackedBlockBytes = 352;
  static constexpr bool kFloat = false;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 6, 4, block);
    for (size_t r = 0; r < 16; ++r) {
      StoreWord(block + 256 + 4 * r, PlaneWord(LoadWord(rows[r] + 2)));
    }
    InterleaveHalves(rows, 0, block + 320);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + 320, lane);
    for (size_t i = 0; i < 32; ++i) {
      const int q = NibbleAt(block, lane, i) | PlaneBit(block + 256, lane, i) << 4;
      out[i] = d * static_cast<float>(q - 16);
    }
  }

  static constexpr size_t kSubBytes = 320;
  static constexpr int kOffset = 16, kScales = 1;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return FiveBitWord<kWord>(sub, sub + 256);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return LoadF16(s.block + 320); }
};
LULL_QUANT_TYPE(TypeQ5_0)

}  // namespace lull::LULL_ISA
