// F16: lane = row, 16 values of 16 bits per k.
namespace lull::LULL_ISA {

struct TypeF16 {
  static constexpr char kName[] = "F16";
  static constexpr uint32_t kGgufTypeId = 1;
  static constexpr size_t kBlockK = 1, kFileBlockBytes = 2, kPackedBlockBytes = 32;
  static constexpr bool kFloat = true;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveHalves(rows, 0, block);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    *out = F16ToF32(LoadHalf(block + 2 * lane));
  }
  static LULL_INLINE F32 Weights(const uint8_t* block) { return LoadF16(block); }
};
LULL_QUANT_TYPE(TypeF16)

}  // namespace lull::LULL_ISA
