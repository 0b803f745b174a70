// Weights unpacked to bytes: what the products of many activation rows share. Included inside an
// instruction set's namespace.
namespace lull::LULL_ISA {

inline constexpr size_t kPanelSubs = 20;  // 32-blocks of K in a panel: it stays in L1
inline constexpr size_t kPanelRows = 64;  // activation rows that share an unpacked panel
inline constexpr size_t kMaxPanelSubBytes = 512 + 2 * 64 + 64;

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

// A type's weights unpacked: per 32-block eight vectors of bytes, f32 scales, f32 mins.
template <typename T>
struct PanelOf {
  static constexpr int kOffset = T::kOffset, kScales = T::kScales;
  static constexpr bool kHasMin = T::kHasMin, kFullRange = T::kFullRange;
  static constexpr size_t kBlockK = 32, kSubBytes = 0;
  static constexpr size_t kPackedBlockBytes = 512 + 64 * (kScales + (kHasMin ? 1 : 0));
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
  static LULL_INLINE F32 Min(const State& s, size_t) { return LoadF32(s.scales + 16 * kScales); }

  static void Unpack(const uint8_t* packed, size_t num_blocks, uint8_t* panel) {
    for (size_t b = 0; b < num_blocks; ++b, packed += T::kPackedBlockBytes) {
      typename T::State state;
      T::Begin(packed, state);
      for (size_t index = 0; index < T::kBlockK / 32; ++index, panel += kPackedBlockBytes) {
        const uint8_t* sub = packed + index * T::kSubBytes;
        UnpackWords<T>(sub, panel);
        float* scales = reinterpret_cast<float*>(panel + 512);
        for (int half = 0; half < kScales; ++half)
          StoreF32(scales + 16 * half, T::Scale(state, index, half));
        if constexpr (kHasMin) StoreF32(scales + 16 * kScales, T::Min(state, index));
      }
    }
  }
};

}  // namespace lull::LULL_ISA
