// F32: lane = row, one 64-byte vector per k.
namespace lull::LULL_ISA {

struct TypeF32 {
  static constexpr char kName[] = "F32";
  static constexpr uint32_t kGgufTypeId = 0;
  static constexpr size_t kBlockK = 1, kFileBlockBytes = 4, kPackedBlockBytes = 64;
  static constexpr bool kFloat = true;

  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    InterleaveWords(rows, 0, 1, block);
  }
  static void DequantizeBlock(const uint8_t* block, size_t lane, float* out) {
    memcpy(out, block + 4 * lane, 4);
  }
  static LULL_INLINE F32 Weights(const uint8_t* block) {
    return LoadF32(reinterpret_cast<const float*>(block));
  }
};
LULL_QUANT_TYPE(TypeF32)

}  // namespace lull::LULL_ISA
