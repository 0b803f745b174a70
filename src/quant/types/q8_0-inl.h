// Q8_0: 32 weights d * q, q of 8 bits, signed.
// File: f16 d, 32 bytes. Packed, 544 bytes: 8 vectors with the sign bit flipped (unsigned, offset
// 128), 16 f16 d.
namespace lull::LULL_ISA {

struct TypeQ8_0 {
  static constexpr char kName[] = "Q8_0";
  static constexpr uint32_t kGgufTypeId = 8;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 34, kPackedBlockBytes = 544;
  static constexpr bool kFloat = false;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t w = 0; w < 8; ++w) {
        StoreWord(block + 64 * w + 4 * r, LoadWord(rows[r] + 2 + 4 * w) ^ 0x80808080u);
      }
    }
    InterleaveHalves(rows, 0, block + 512);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + 512, lane);
    for (size_t i = 0; i < 32; ++i) {
      out[i] = static_cast<float>(block[64 * (i / 4) + 4 * lane + i % 4] - 128) * d;
    }
  }

  static constexpr size_t kSubBytes = 512;
  static constexpr int kOffset = 128, kScales = 1;
  static constexpr bool kHasMin = false, kFullRange = true;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return LoadU8(sub + 64 * kWord);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return LoadF16(s.block + 512); }
};
LULL_QUANT_TYPE(TypeQ8_0)

}  // namespace lull::LULL_ISA
