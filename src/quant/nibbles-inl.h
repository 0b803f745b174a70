// What types of 2 to 6 bits share: words of a 32-weight block from pairs of bits, nibbles and bit
// planes.
// A type's unsigned weights leave it as U8 words: word g of a lane is weights 4 g .. 4 g + 3.
namespace lull::LULL_ISA {

// Two vectors of pairs of bits: words 0..3 in the first, from the lowest bits up, 4..7 in the
// other.
inline constexpr size_t kPairBytes = 128;
template <int kWord>
LULL_INLINE U8 PairWord(const uint8_t* pairs) {
  return ShiftRightMask<2 * (kWord % 4)>(LoadU8(pairs + 64 * (kWord / 4)), 3);
}
// One row's pairs from eight words of weights of two bits each.
inline void StorePairs(const uint32_t words[8], size_t row, uint8_t* pairs) {
  for (size_t v = 0; v < 2; ++v, words += 4) {
    StoreWord(pairs + 64 * v + 4 * row, words[0] | words[1] << 2 | words[2] << 4 | words[3] << 6);
  }
}
// Sub-block sub of a row's 64 file bytes of 256 weights: of each 32 bytes four sub-blocks, from the
// lowest bits up.
inline void RepackPairs(const uint8_t* qs, size_t sub, size_t row, uint8_t* pairs) {
  uint32_t words[8];
  for (size_t w = 0; w < 8; ++w)
    words[w] = LoadWord(qs + 32 * (sub / 4) + 4 * w) >> (2 * (sub % 4)) & 0x03030303u;
  StorePairs(words, row, pairs);
}
// A row's word of sub-block sub's bit plane, from 32 file bytes: bit j of byte i is weight i of
// sub-block j.
inline uint32_t KPlaneWord(const uint8_t* bits, size_t sub) {
  uint32_t word = 0;
  for (size_t g = 0; g < 8; ++g) word |= (LoadWord(bits + 4 * g) >> sub & 0x01010101u) << g;
  return word;
}

// Weight `index` (0..31) of a lane.
inline int PairAt(const uint8_t* pairs, size_t lane, size_t index) {
  return pairs[64 * (index / 16) + 4 * lane + index % 4] >> (2 * (index % 16 / 4)) & 3;
}

// Four vectors of nibbles: low = words 0..3, high = words 4..7.
template <int kWord>
LULL_INLINE U8 NibbleWord(const uint8_t* nibbles) {
  const U8 both = LoadU8(nibbles + 64 * (kWord % 4));
  if constexpr (kWord < 4)
    return LowNibbles(both);
  else
    return HighNibbles(both);
}

// Adds bit 4 from a plane: bit g of each byte belongs to word g.
template <int kWord>
LULL_INLINE U8 FiveBitWord(const uint8_t* nibbles, const uint8_t* plane) {
  return OrShifted<4 - kWord>(NibbleWord<kWord>(nibbles), LoadU8(plane), 0x10);
}

// Adds bits 4 and 5 from two planes: bits 2 (g % 4) and up of plane g / 4 belong to word g.
template <int kWord>
LULL_INLINE U8 SixBitWord(const uint8_t* nibbles, const uint8_t* planes) {
  const U8 plane = LoadU8(planes + 64 * (kWord / 4));
  return OrShifted<4 - 2 * (kWord % 4)>(NibbleWord<kWord>(nibbles), plane, 0x30);
}

}  // namespace lull::LULL_ISA
