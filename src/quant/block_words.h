// Moves between file blocks and the interleaved layout, in words of four bytes: a 64-byte vector
// holds one word of each of 16 rows. Not hot: used at load and for single rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/f16.h"

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

// A lane's plane word from 32 bits in weight order.
inline uint32_t PlaneWord(uint32_t bits) {
  uint32_t word = 0;
  for (uint32_t i = 0; i < 32; ++i) word |= (bits >> i & 1u) << (8 * (i % 4) + i / 4);
  return word;
}

}  // namespace lull
