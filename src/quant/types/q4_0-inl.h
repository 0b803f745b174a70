// Q4_0: 32 weights d * (q - 8), q of 4 bits.
// File: f16 d, 16 bytes (low nibbles weights 0..15, high 16..31).
// Packed, 288 bytes: 4 vectors of nibbles, 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ4_0 {
  static constexpr char kName[] = "Q4_0";
  static constexpr uint32_t kGgufTypeId = 2;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 18, kPackedBlockBytes = 288;
  static constexpr bool kFloat = false;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 2, 4, block);
    InterleaveHalves(rows, 0, block + 256);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + 256, lane);
    for (size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(NibbleAt(block, lane, i) - 8);
  }

  static constexpr size_t kSubBytes = 256;
  static constexpr int kOffset = 8, kScales = 1, kTop = 15;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return NibbleWord<kWord>(sub);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return LoadF16(s.block + 256); }
};
LULL_QUANT_TYPE(TypeQ4_0)

}  // namespace lull::LULL_ISA
