// MXFP4: 32 weights 2^(e - 127) * f, f a float of 4 bits (e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and
// their negatives). Kept as 2^(e - 128) times the integer 2 f. Source: OCP Microscaling
// Formats 1.0. File: e, 16 bytes (low nibbles weights 0..15, high 16..31). Packed, 272 bytes: 4
// vectors of nibbles, 16 e.
namespace lull::LULL_ISA {

struct TypeMXFP4 {
  static constexpr char kName[] = "MXFP4";
  static constexpr uint32_t kGgufTypeId = 39;
  static constexpr size_t kBlockK = 32, kFileBlockBytes = 17, kPackedBlockBytes = 272;
  static constexpr bool kFloat = false;
  static constexpr int kOffset = 12, kScales = 1;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 1, 4, block);
    for (size_t r = 0; r < 16; ++r) block[256 + r] = rows[r][0];
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = std::ldexp(1.0f, block[256 + lane] - 128);
    for (size_t i = 0; i < 32; ++i)
      out[i] = d * static_cast<float>(kMxfp4Codes[NibbleAt(block, lane, i)] - kOffset);
  }

  static constexpr size_t kSubBytes = 256;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    const uint8_t* block;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return Lookup16(NibbleWord<kWord>(sub), kMxfp4Codes);
  }
  // The bits of 2^(e - 128) are (e - 1) << 23 from e = 2 on; 2^-128 and 2^-127 are subnormal, their
  // bits (e + 1) << 21, which is less than the other from e = 2 on.
  static LULL_INLINE F32 Scale(const State& s, size_t, int) {
    const I32 e = LoadU8AsI32(s.block + 256);
    return AsF32(
        MaxI32(ShiftLeft<23>(SubI32(e, Set1I32(1))), ShiftLeft<21>(AddI32(e, Set1I32(1)))));
  }
};
LULL_QUANT_TYPE(TypeMXFP4)

}  // namespace lull::LULL_ISA
