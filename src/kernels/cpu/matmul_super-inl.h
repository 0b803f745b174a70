// The inner loops of a product with K-quants. A super-block of 256 weights is summed in integers,
// its sub-blocks' integer scales included, and only then converted: one f32 accumulator an output,
// super-blocks in ascending K. Included inside an instruction set's namespace.
namespace lull::LULL_ISA {

template <typename T, typename Acts, int kGroups, int kCols>
struct SuperTile {
  template <int kHalf>
  static LULL_INLINE void AddScaled(const uint8_t* const sub[kMaxGroups],
                                    const typename T::State (&state)[kGroups], size_t index,
                                    const Acts& acts, I32 (&sum)[kGroups][kCols]) {
    I32 dot[kGroups][kCols];
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) dot[g][c] = Set1I32(0);
    }
    DotWords<T, kHalf>(sub, acts, dot);
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) {
      const I32 scale = T::SubScale(state[g], index, kHalf);
#pragma GCC unroll kTileUnroll
      for (int c = 0; c < kCols; ++c) sum[g][c] = AddI32(sum[g][c], MulI32(dot[g][c], scale));
    }
  }

  static LULL_INLINE void AddBlock(const typename T::State (&state)[kGroups], const Acts& acts,
                                   const I32 (&sum)[kGroups][kCols], F32 (&acc)[kGroups][kCols]) {
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) {
      I32 pair[kNumPairs<T>];
#pragma GCC unroll kTileUnroll
      for (int p = 0; p < kNumPairs<T>; ++p) pair[p] = T::Pair(state[g], static_cast<size_t>(p));
      const F32 scale = T::SuperScale(state[g]);
#pragma GCC unroll kTileUnroll
      for (int c = 0; c < kCols; ++c) {
        const F32 a_scale = Set1(acts.Scale(c));
        I32 dot = Set1I32(0);
#pragma GCC unroll kTileUnroll
        for (int p = 0; p < kNumPairs<T>; ++p)
          dot = DotI16(dot, pair[p], acts.template Pair<T::kScales>(c, p));
        I32 whole = sum[g][c];
        if constexpr (!T::kHasMin && OffsetOf<T>() != 0)
          whole = SubI32(whole, MulI32(dot, Set1I32(OffsetOf<T>())));
        acc[g][c] = Fma(Mul(ToF32(whole), a_scale), scale, acc[g][c]);
        if constexpr (T::kHasMin)
          acc[g][c] = Fma(Mul(ToF32(dot), a_scale), T::SuperMinScale(state[g]), acc[g][c]);
      }
    }
  }

  // The integers of the super-block so far.
  struct Block {
    I32 sum[kGroups][kCols];
    LULL_INLINE Block() {
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll kTileUnroll
        for (int c = 0; c < kCols; ++c) sum[g][c] = Set1I32(0);
      }
    }
  };
  static LULL_INLINE void AddSub(const uint8_t* const sub[kMaxGroups],
                                 const typename T::State (&state)[kGroups], size_t index,
                                 Acts& acts, Block& block, F32 (&)[kGroups][kCols]) {
    AddScaled<0>(sub, state, index, acts, block.sum);
    if constexpr (T::kScales == 2) AddScaled<1>(sub, state, index, acts, block.sum);
    acts.NextSub();
  }
  static LULL_INLINE void EndBlock(const typename T::State (&state)[kGroups], Acts& acts,
                                   const Block& block, F32 (&acc)[kGroups][kCols]) {
    AddBlock(state, acts, block.sum, acc);
    acts.NextBlock();
  }

  static void Run(const TileArgs& args, Acts acts) {
    RunTile<SuperTile, T, Acts, kGroups, kCols>(args, acts);
  }
};

// A super-block unpacked: eight times eight vectors of bytes and the scales as i32; then the pairs,
// the f32 scale and, for mins, theirs. One for all types that agree in these, so that they share
// the tiles over it.
template <int kFrom, int kNumScales, bool kMins, bool kWholeBytes, int kLargest>
struct SuperPanelBlock {
  static constexpr int kOffset = kFrom, kScales = kNumScales;
  static constexpr int kTop = kLargest;
  static constexpr bool kHasMin = kMins, kFullRange = kWholeBytes;
  static constexpr int kPairs = kNumScales == 2 ? 8 : 4;
  static constexpr size_t kBlockK = 256, kSubBytes = 512 + 64 * kScales;
  static constexpr size_t kTailAt = 8 * kSubBytes, kFloatsAt = kTailAt + 64 * kPairs;
  static constexpr size_t kPackedBlockBytes = kFloatsAt + 64 * (kHasMin ? 2 : 1);
  struct State {
    const uint8_t* block;
  };

  static LULL_INLINE void Begin(const uint8_t* block, State& s) { s.block = block; }
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    return LoadU8(sub + 64 * kWord);
  }
  static LULL_INLINE I32 SubScale(const State& s, size_t sub, int half) {
    return Ints(s.block + sub * kSubBytes + 512 + 64 * half);
  }
  static LULL_INLINE I32 Pair(const State& s, size_t pair) {
    return Ints(s.block + kTailAt + 64 * pair);
  }
  static LULL_INLINE F32 SuperScale(const State& s) { return Floats(s.block + kFloatsAt); }
  static LULL_INLINE F32 SuperMinScale(const State& s) { return Floats(s.block + kFloatsAt + 64); }

 private:
  static LULL_INLINE I32 Ints(const uint8_t* p) {
    return LoadI32(reinterpret_cast<const int32_t*>(p));
  }
  static LULL_INLINE F32 Floats(const uint8_t* p) {
    return LoadF32(reinterpret_cast<const float*>(p));
  }
};
template <typename T>
using SuperPanelOf =
    SuperPanelBlock<T::kOffset, T::kScales, T::kHasMin, T::kFullRange, PanelTop<T>()>;

template <typename T>
void UnpackSuperPanel(const uint8_t* packed, size_t num_blocks, uint8_t* panel) {
  using Panel = SuperPanelOf<T>;
  static_assert(Panel::kPairs == kNumPairs<T>);
  for (size_t b = 0; b < num_blocks; ++b, packed += T::kPackedBlockBytes) {
    typename T::State state;
    T::Begin(packed, state);
    for (size_t index = 0; index < 8; ++index) {
      uint8_t* sub = panel + index * Panel::kSubBytes;
      UnpackWords<T>(packed + index * T::kSubBytes, sub);
      for (int half = 0; half < T::kScales; ++half)
        StoreI32(reinterpret_cast<int32_t*>(sub + 512 + 64 * half),
                 T::SubScale(state, index, half));
    }
    for (size_t p = 0; p < Panel::kPairs; ++p)
      StoreI32(reinterpret_cast<int32_t*>(panel + Panel::kTailAt + 64 * p), T::Pair(state, p));
    float* floats = reinterpret_cast<float*>(panel + Panel::kFloatsAt);
    StoreF32(floats, T::SuperScale(state));
    if constexpr (T::kHasMin) StoreF32(floats + 16, T::SuperMinScale(state));
    panel += Panel::kPackedBlockBytes;
  }
}

}  // namespace lull::LULL_ISA
