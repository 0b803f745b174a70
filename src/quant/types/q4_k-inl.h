// Q4_K: 256 weights in eight sub-blocks of 32, d * sc * q - dmin * m, q of 4 bits.
// File: f16 d, f16 dmin, 12 bytes of 6-bit sc and m, four chunks of 32 bytes, each with two
// sub-blocks in its low and high nibbles.
// Packed, 2304 bytes: per sub-block 4 vectors of nibbles; packed scales; 16 f16 d; 16 f16 dmin.
namespace lull::LULL_ISA {

struct TypeQ4_K {
  static constexpr char kName[] = "Q4_K";
  static constexpr uint32_t kGgufTypeId = 12;
  static constexpr size_t kBlockK = 256, kFileBlockBytes = 144, kPackedBlockBytes = 2304;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = 256, kScalesAt = 8 * kSubBytes;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t chunk = 0; chunk < 4; ++chunk) {
        uint8_t* even = block + 2 * chunk * kSubBytes;
        RepackKNibbles(rows[r] + 16 + 32 * chunk, r, even, even + kSubBytes);
      }
    }
    RepackKScales(rows, 4, block + kScalesAt);
    InterleaveHalves(rows, 0, block + kScalesAt + kKScaleBytes);
    InterleaveHalves(rows, 2, block + kScalesAt + kKScaleBytes + 32);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const uint8_t* scales = block + kScalesAt;
    const float d = LaneF16(scales + kKScaleBytes, lane);
    const float dmin = LaneF16(scales + kKScaleBytes + 32, lane);
    for (size_t i = 0; i < 256; ++i) {
      const float scale = d * static_cast<float>(PackedScale(scales, lane, i / 32));
      const float min = dmin * static_cast<float>(PackedMin(scales, lane, i / 32));
      const int q = NibbleAt(block + i / 32 * kSubBytes, lane, i % 32);
      out[i] = scale * static_cast<float>(q) - min;
    }
  }

  static constexpr int kOffset = 0, kScales = 1, kTop = 15;
  static constexpr bool kHasMin = true, kFullRange = false;
  using State = KScales;
  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    UnpackKScales(block + kScalesAt, s);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return NibbleWord<kWord>(sub);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t sub, int) { return KScale(s, sub); }
  static LULL_INLINE F32 Min(const State& s, size_t sub, int) { return KMin(s, sub); }

  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int) { return KSubScale(s, sub); }
  static LULL_INLINE I32 Pair(const State& s, size_t pair) { return KMinPair(s, pair); }
  static LULL_INLINE F32 SuperScale(const State& s) { return s.d; }
  static LULL_INLINE F32 SuperMinScale(const State& s) { return Sub(ZeroF32(), s.dmin); }
};
LULL_QUANT_TYPE(TypeQ4_K)

}  // namespace lull::LULL_ISA
