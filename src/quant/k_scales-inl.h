// The 6-bit scales and mins of Q4_K and Q5_K: eight of each per row, 192 bytes per 16 rows, as many
// as in the file. With sc[j], m[j] of sub-block j (0..7), byte 16 (j % 4) + lane of three vectors:
//   [0] low 4 bits of sc[j], high 4 bits: low 4 bits of m[j], for j = 0..3
//   [1] the same for j = 4..7
//   [2] from bit 0 up, two bits each: top bits of sc[j], m[j], sc[j + 4], m[j + 4], for j = 0..3
namespace lull::LULL_ISA {

inline constexpr size_t kKScaleBytes = 192;

// sc and m of sub-block j from a row's 12 file bytes.
inline void FileScaleMin(const uint8_t* p, int j, int* sc, int* m) {
  if (j < 4) {
    *sc = p[j] & 63;
    *m = p[4 + j] & 63;
    return;
  }
  *sc = (p[4 + j] & 15) | (p[j - 4] >> 6) << 4;
  *m = p[4 + j] >> 4 | (p[j] >> 6) << 4;
}

inline void RepackKScales(const uint8_t* const rows[16], size_t offset, uint8_t* dst) {
  memset(dst, 0, kKScaleBytes);
  for (size_t r = 0; r < 16; ++r) {
    for (int j = 0; j < 8; ++j) {
      int sc, m;
      FileScaleMin(rows[r] + offset, j, &sc, &m);
      const size_t at = 16 * static_cast<size_t>(j % 4) + r;
      dst[64 * (j / 4) + at] = static_cast<uint8_t>((sc & 15) | (m & 15) << 4);
      const int tops = (sc >> 4 | (m >> 4) << 2) << (j < 4 ? 0 : 4);
      dst[128 + at] = static_cast<uint8_t>(dst[128 + at] | tops);
    }
  }
}

inline int PackedScale(const uint8_t* p, size_t lane, size_t j) {
  const size_t at = 16 * (j % 4) + lane;
  return (p[64 * (j / 4) + at] & 15) | (p[128 + at] >> (j < 4 ? 0 : 4) & 3) << 4;
}
inline int PackedMin(const uint8_t* p, size_t lane, size_t j) {
  const size_t at = 16 * (j % 4) + lane;
  return p[64 * (j / 4) + at] >> 4 | (p[128 + at] >> (j < 4 ? 2 : 6) & 3) << 4;
}

// All eight, unpacked once per 256 weights; sub-block j's 16 lanes are bytes 16 j and up.
struct KScales {
  alignas(64) uint8_t sc[128];
  alignas(64) uint8_t m[128];
  F32 d, dmin;
};

// block: packed scales, then 16 f16 d, then 16 f16 dmin.
LULL_INLINE void UnpackKScales(const uint8_t* block, KScales& s) {
  const U8 low = LoadU8(block), high = LoadU8(block + 64), tops = LoadU8(block + 128);
  StoreU8(s.sc, OrShifted<4>(LowNibbles(low), tops, 0x30));
  StoreU8(s.m, OrShifted<2>(HighNibbles(low), tops, 0x30));
  StoreU8(s.sc + 64, OrShifted<0>(LowNibbles(high), tops, 0x30));
  StoreU8(s.m + 64, OrShifted<-2>(HighNibbles(high), tops, 0x30));
  s.d = LoadF16(block + kKScaleBytes);
  s.dmin = LoadF16(block + kKScaleBytes + 32);
}
LULL_INLINE I32 KSubScale(const KScales& s, size_t sub) { return LoadU8AsI32(s.sc + 16 * sub); }
LULL_INLINE F32 KScale(const KScales& s, size_t sub) { return Mul(s.d, ToF32(KSubScale(s, sub))); }
// Negative: the weight is scale * q + this.
LULL_INLINE F32 KMin(const KScales& s, size_t sub) {
  return Sub(ZeroF32(), Mul(s.dmin, ToF32(LoadU8AsI32(s.m + 16 * sub))));
}
// The mins of sub-blocks 2 pair and 2 pair + 1.
LULL_INLINE I32 KMinPair(const KScales& s, size_t pair) {
  return PairI16(LoadU8AsI32(s.m + 32 * pair), LoadU8AsI32(s.m + 32 * pair + 16));
}

// Nibbles of file chunk `chunk` (32 bytes: low = sub-block 2 chunk, high = the next) to the two
// sub-blocks' own nibble vectors.
inline void RepackKNibbles(const uint8_t* qs, size_t row, uint8_t* even, uint8_t* odd) {
  for (size_t w = 0; w < 4; ++w) {
    const uint32_t a = LoadWord(qs + 4 * w), b = LoadWord(qs + 16 + 4 * w);
    StoreWord(even + 64 * w + 4 * row, (a & kLowNibbles) | (b & kLowNibbles) << 4);
    StoreWord(odd + 64 * w + 4 * row, (a >> 4 & kLowNibbles) | (b & ~kLowNibbles));
  }
}

}  // namespace lull::LULL_ISA
