// Weights unpacked to bytes: what the products of many activation rows share. Included inside an
// instruction set's namespace.
namespace lull::LULL_ISA {

inline constexpr size_t kPanelSubs = 20;  // 32-blocks of K in a panel: it stays in L1
inline constexpr size_t kPanelRows = 64;  // activation rows that share an unpacked panel
inline constexpr size_t kMaxPanelSubBytes = 512 + 2 * 64 + 2 * 64;

struct MatMulArgs {
  const PackedMatrix& w;
  size_t group_begin, group_end;
  const Activations& x;
  size_t row_begin, row_end;
  float* out;
  size_t out_stride;
  uint8_t* scratch;
};

// Eight vectors of bytes.
template <typename T>
LULL_INLINE void UnpackWords(const uint8_t* sub, uint8_t* words) {
  StoreU8(words, T::template Word<0>(sub));
  StoreU8(words + 64, T::template Word<1>(sub));
  StoreU8(words + 128, T::template Word<2>(sub));
  StoreU8(words + 192, T::template Word<3>(sub));
  StoreU8(words + 256, T::template Word<4>(sub));
  StoreU8(words + 320, T::template Word<5>(sub));
  StoreU8(words + 384, T::template Word<6>(sub));
  StoreU8(words + 448, T::template Word<7>(sub));
}

// A type has as many mins as scales, or none.
template <typename T>
inline constexpr int kMinsOf = T::kHasMin ? T::kScales : 0;

// Types whose kTop, the largest unsigned weight, lets the words of a scale be summed in Partials.
template <typename T>
constexpr bool IsSmall() {
  if constexpr (kPartialSums && requires { T::kTop; })
    return T::kTop * (T::kScales == 2 ? 4 : 8) <= 128;
  else
    return false;
}

// Of a panel's bytes no more is told than whether Partials may take them.
template <typename T>
constexpr int PanelTop() {
  return IsSmall<T>() ? 128 / (8 / T::kScales) : 255;
}

// A 32-block of weights unpacked: eight vectors of bytes, f32 scales, f32 mins. One for all types
// with as many of them, so that they share the tiles over it: the value of the offset is in the
// activations' sums.
template <int kNumScales, int kNumMins, bool kOffsets, bool kWholeBytes, int kLargest>
struct PanelBlock {
  static constexpr int kOffset = kOffsets ? 1 : 0, kScales = kNumScales;
  static constexpr int kTop = kLargest;
  static constexpr bool kHasMin = kNumMins > 0, kFullRange = kWholeBytes;
  static constexpr size_t kBlockK = 32, kSubBytes = 0;
  static constexpr size_t kPackedBlockBytes = 512 + 64 * (kNumScales + kNumMins);
  struct State {
    const float* scales;
  };

  static LULL_INLINE void Begin(const uint8_t* block, State& s) {
    s.scales = reinterpret_cast<const float*>(block + 512);
  }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* block) {
    return LoadU8(block + 64 * kWord);
  }
  static LULL_INLINE F32 Scale(const State& s, size_t, int half) {
    return LoadF32(s.scales + 16 * half);
  }
  static LULL_INLINE F32 Min(const State& s, size_t, int half) {
    return LoadF32(s.scales + 16 * (kNumScales + half));
  }
};
template <typename T>
using PanelOf = PanelBlock<T::kScales, kMinsOf<T>, T::kOffset != 0, T::kFullRange, PanelTop<T>()>;

template <typename T>
void UnpackPanel(const uint8_t* packed, size_t num_blocks, uint8_t* panel) {
  for (size_t b = 0; b < num_blocks; ++b, packed += T::kPackedBlockBytes) {
    typename T::State state;
    T::Begin(packed, state);
    for (size_t index = 0; index < T::kBlockK / 32; ++index) {
      UnpackWords<T>(packed + index * T::kSubBytes, panel);
      float* scales = reinterpret_cast<float*>(panel + 512);
      for (int half = 0; half < T::kScales; ++half)
        StoreF32(scales + 16 * half, T::Scale(state, index, half));
      if constexpr (T::kHasMin) {
        for (int half = 0; half < T::kScales; ++half)
          StoreF32(scales + 16 * (T::kScales + half), T::Min(state, index, half));
      }
      panel += PanelOf<T>::kPackedBlockBytes;
    }
  }
}

}  // namespace lull::LULL_ISA
