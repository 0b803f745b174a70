// What the 4, 5 and 6-bit types share: words of a 32-weight block from nibbles and bit planes.
// A type's unsigned weights leave it as U8 words: word g of a lane is weights 4 g .. 4 g + 3.
namespace lull::LULL_ISA {

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
