// IQ4_NL: 32 weights d * code[q], q of 4 bits, codes of kIq4Codes.
// File: f16 d, 16 bytes (low nibbles weights 0..15, high 16..31). Packed, 288 bytes: 4 vectors of
// nibbles, 16 f16 d.
namespace lull::LULL_ISA {

struct TypeIQ4_NL {
  static constexpr char kName[] = "IQ4_NL";
  static constexpr uint32_t kGgufTypeId = 20;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 18, kPackedBlockBytes = 288;
  static constexpr bool kFloat = false;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 2, 4, block);
    InterleaveHalves(rows, 0, block + 256);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + 256, lane);
    for (size_t i = 0; i < 32; ++i)
      out[i] = d * static_cast<float>(kIq4Codes[NibbleAt(block, lane, i)] - 128);
  }

  static constexpr size_t kSubBytes = 256;
  static constexpr int kOffset = 128, kScales = 1;
  static constexpr bool kHasMin = false, kFullRange = true;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return Lookup16(NibbleWord<kWord>(sub), kIq4Codes);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return LoadF16(s.block + 256); }
};
LULL_QUANT_TYPE(TypeIQ4_NL)

}  // namespace lull::LULL_ISA
