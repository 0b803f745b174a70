// Q1_0: 128 weights d or -d, d where the bit is set.
// File: f16 d, 16 bytes of bits in order. Packed, 288 bytes: per sub-block of 32 a bit plane; 16
// f16 d.
namespace lull::LULL_ISA {

struct TypeQ1_0 {
  static constexpr char kName[] = "Q1_0";
  static constexpr uint32_t kGgufTypeId = 41;
  static constexpr size_t kBlockK = 128, kFileBlockBytes = 18, kPackedBlockBytes = 288;
  static constexpr bool kFloat = false;
  static constexpr size_t kSubBytes = 64, kDAt = 4 * kSubBytes;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 4; ++sub)
        StoreWord(block + sub * kSubBytes + 4 * r, PlaneWord(LoadWord(rows[r] + 2 + 4 * sub)));
    }
    InterleaveHalves(rows, 0, block + kDAt);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    const float d = LaneF16(block + kDAt, lane);
    for (size_t i = 0; i < 128; ++i)
      out[i] = PlaneBit(block + i / 32 * kSubBytes, lane, i % 32) != 0 ? d : -d;
  }

  static constexpr int kOffset = 1, kScales = 1, kTop = 2;
  static constexpr bool kHasMin = false, kFullRange = false;
  struct State {
    F32 d;
  };
  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.d = LoadF16(block + kDAt); }
  // 0 or 2: less the offset -1 or 1.
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    if constexpr (kWord == 0)
      return MaskShiftLeft<1>(LoadU8(sub), 1);
    else
      return ShiftRightMask<kWord - 1>(LoadU8(sub), 2);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int) { return s.d; }
};
LULL_QUANT_TYPE(TypeQ1_0)

}  // namespace lull::LULL_ISA
