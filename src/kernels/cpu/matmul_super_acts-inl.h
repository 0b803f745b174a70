// Activations in super-blocks of 256, as the products with K-quants read them. Included inside an
// instruction set's namespace.
namespace lull::LULL_ISA {

// Of a super-block's int16 pairs: mins with the activations' sums of 32, or, where each 16 weights
// have a scale, the scales with the sums of 16 (for the offset).
template <typename T>
inline constexpr int kNumPairs = T::kScales == 2 ? 8 : 4;

// Activation rows in super-blocks; rows are k apart. kBesidePacked: beside packed weights.
template <bool kBesidePacked>
struct SuperActs {
  static constexpr bool kPacked = kBesidePacked;
  const int8_t* q;
  const float* scale;
  const int16_t* sums32;
  const int16_t* sums16;
  size_t k;

  LULL_INLINE int32_t Word(int c, int w) const {
    return LoadA4(q + static_cast<size_t>(c) * k + 4 * w);
  }
  LULL_INLINE float Scale(int c) const { return scale[static_cast<size_t>(c) * (k / 256)]; }
  template <int kScales>
  LULL_INLINE int32_t Pair(int c, int pair) const {
    const size_t row = static_cast<size_t>(c) * k;
    int32_t both;
    memcpy(&both, (kScales == 2 ? sums16 + row / 16 : sums32 + row / 32) + 2 * pair, 4);
    return both;
  }
  LULL_INLINE void NextSub() { q += 32; }
  LULL_INLINE void NextBlock() {
    scale += 1;
    sums32 += 8;
    sums16 += 16;
  }
};

template <bool kBesidePacked>
LULL_INLINE SuperActs<kBesidePacked> SuperActsAt(const Activations& x, size_t row, size_t block) {
  const size_t at = row * x.k;
  return {x.super_q + at + 256 * block, x.super_scale + at / 256 + block,
          x.sums32 + at / 32 + 8 * block, x.sums16 + at / 16 + 16 * block, x.k};
}

}  // namespace lull::LULL_ISA
