// Moves between file blocks and the interleaved layout, in words of four bytes: a 64-byte vector
// holds one word of each of 16 rows. Not hot: used at load and for single rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/f16.h"
#include "quant/codebooks.h"

namespace lull {

inline constexpr uint32_t kLowNibbles = 0x0f0f0f0fu;

inline uint32_t LoadWord(const uint8_t* p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}
inline void StoreWord(uint8_t* p, uint32_t word) { memcpy(p, &word, 4); }

inline uint16_t LoadHalf(const uint8_t* p) {
  uint16_t half;
  memcpy(&half, p, 2);
  return half;
}

// dst[word][row] = the row's word, for `words` words from byte `offset` of each row's block.
inline void InterleaveWords(const uint8_t* const rows[16], size_t offset, size_t words,
                            uint8_t* dst) {
  for (size_t r = 0; r < 16; ++r) {
    for (size_t w = 0; w < words; ++w) memcpy(dst + 64 * w + 4 * r, rows[r] + offset + 4 * w, 4);
  }
}

// dst[row] = the 16-bit value at byte `offset` of each row's block.
inline void InterleaveHalves(const uint8_t* const rows[16], size_t offset, uint8_t* dst) {
  for (size_t r = 0; r < 16; ++r) memcpy(dst + 2 * r, rows[r] + offset, 2);
}

// The f16 of one lane of 16.
inline float LaneF16(const uint8_t* halves, size_t lane) {
  return F16ToF32(LoadHalf(halves + 2 * lane));
}

// Byte `index` (0..31) of a lane in a 32-weight block of nibbles: four 64-byte vectors whose low
// nibbles are weights 0..15 and whose high nibbles are weights 16..31.
inline int NibbleAt(const uint8_t* nibbles, size_t lane, size_t index) {
  const uint8_t byte = nibbles[64 * (index % 16 / 4) + 4 * lane + index % 4];
  return index < 16 ? byte & 15 : byte >> 4;
}

// Bit plane of a 32-weight block, one 64-byte vector: byte j of a lane holds in bit g the high bit
// of weight 4 g + j.
inline int PlaneBit(const uint8_t* plane, size_t lane, size_t index) {
  return plane[4 * lane + index % 4] >> (index / 4) & 1;
}

// Exchanges the bits under mask with those `shift` above them.
inline uint32_t SwapBits(uint32_t x, int shift, uint32_t mask) {
  const uint32_t t = (x ^ x >> shift) & mask;
  return x ^ t ^ t << shift;
}

// Even bits to the lower half, odd bits to the upper: position bits b4..b0 become b0 b4 b3 b2 b1.
inline uint32_t Unshuffle(uint32_t x) {
  x = SwapBits(x, 1, 0x22222222u);
  x = SwapBits(x, 2, 0x0c0c0c0cu);
  x = SwapBits(x, 4, 0x00f000f0u);
  return SwapBits(x, 8, 0x0000ff00u);
}

// A lane's plane word from 32 bits in weight order: bit 4 g + j goes to bit 8 j + g.
inline uint32_t PlaneWord(uint32_t bits) { return Unshuffle(Unshuffle(bits)); }

}  // namespace lull
