// TQ1_0: 256 weights d * (q - 1), q of 0..2.
// File: 48 + 4 bytes of trits, f16 d. A byte holds up to five, the first in its highest part: trit
// n is 3 * (byte * 3^n mod 256) / 256, rounded down. Of the first 32 bytes trit n of byte i is
// weight 32 n + i, of the next 16 160 + 16 n + i, of the last 4 240 + 4 n + i. Packed as TQ2_0,
// 1056 bytes where the file has 864: two instructions unpack a word of pairs, eight or more one of
// trits.
namespace lull::LULL_ISA {

struct TypeTQ1_0 : TypeTQ2_0 {
  static constexpr char kName[] = "TQ1_0";
  static constexpr uint32_t kGgufTypeId = 34;
  static constexpr size_t kFileBlockBytes = 54;

  // Trit n of four bytes at once, factor = 3^n.
  static uint32_t TritWord(uint32_t bytes, uint32_t factor) {
    constexpr uint32_t kEven = 0x00ff00ffu;
    const uint32_t even = (bytes & kEven) * factor & kEven;
    const uint32_t odd = (bytes >> 8 & kEven) * factor & kEven;
    return (even * 3 >> 8 & kEven) | (odd * 3 & ~kEven);
  }
  // Four weights from `index` on, a multiple of 4.
  static uint32_t TritsAt(const uint8_t* row, size_t index) {
    constexpr uint32_t kFactors[5] = {1, 3, 9, 27, 81};
    if (index < 160) return TritWord(LoadWord(row + index % 32), kFactors[index / 32]);
    if (index < 240) return TritWord(LoadWord(row + 32 + index % 16), kFactors[(index - 160) / 16]);
    return TritWord(LoadWord(row + 48), kFactors[(index - 240) / 4]);
  }
  static void RepackBlock(const uint8_t* const rows[16], uint8_t* block) {
    for (size_t r = 0; r < 16; ++r) {
      for (size_t sub = 0; sub < 8; ++sub) {
        uint32_t words[8];
        for (size_t w = 0; w < 8; ++w) words[w] = TritsAt(rows[r], 32 * sub + 4 * w);
        StorePairs(words, r, block + sub * kSubBytes);
      }
    }
    InterleaveHalves(rows, 52, block + kDAt);
  }
};
LULL_QUANT_TYPE(TypeTQ1_0)

}  // namespace lull::LULL_ISA
