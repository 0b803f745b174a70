// The inner loops of a matrix product: kGroups x 16 weight rows by kCols activation rows, all of K
// or a chunk of it. Every output has one f32 accumulator that takes its 32-blocks in ascending K,
// so tile shape and chunking never change a bit. Included inside an instruction set's namespace.
namespace lull::LULL_ISA {

inline constexpr int kMaxGroups = kStreamGroups > kTileGroups ? kStreamGroups : kTileGroups;

struct TileArgs {
  const uint8_t* group[kMaxGroups];  // packed blocks of each group
  size_t valid[kMaxGroups];          // rows of each group that exist, 1..16
  size_t num_blocks;
  bool resume;  // start from what `out` holds
  // Packed blocks that come from memory; from the end of a group's stream to where this call
  // continues it.
  bool stream;
  size_t fetch_skip;
  // Else: lines fetched ahead for each 32-block, `fetch_lines` from fetch[g] up for each group.
  const uint8_t* fetch[kMaxGroups];
  size_t fetch_lines;
  float* out;  // row 0 of group 0, column 0
  size_t out_stride;
};

// Activation rows read where they lie: rows k apart.
struct DirectActs {
  static constexpr bool kPacked = true;  // beside packed weights
  const int8_t* q;
  const float* scale;
  const float* scaled_sum;
  const int32_t* half_sums;
  size_t k;

  LULL_INLINE int32_t Word(int c, int w) const {
    return LoadA4(q + static_cast<size_t>(c) * k + 4 * w);
  }
  LULL_INLINE float Scale(int c) const { return scale[static_cast<size_t>(c) * (k / 32)]; }
  LULL_INLINE float ScaledSum(int c) const { return scaled_sum[static_cast<size_t>(c) * (k / 32)]; }
  LULL_INLINE float ScaledHalfSum(int c, int half) const {
    return Scale(c) * static_cast<float>(
                          half_sums[static_cast<size_t>(c) * (k / 16) + static_cast<size_t>(half)]);
  }
  // Where the integer dot of a block (kScales = 1) or of a half starts.
  template <int kScales>
  LULL_INLINE int32_t Start(int c, int half, int32_t offset) const {
    const int32_t* sums = half_sums + static_cast<size_t>(c) * (k / 16);
    return -offset * (kScales == 2 ? sums[half] : sums[0] + sums[1]);
  }
  template <int kScales>
  LULL_INLINE void Next() {
    q += 32;
    scale += 1;
    scaled_sum += 1;
    half_sums += 2;
  }
};

// The same beside a panel: starts come precomputed, rows start_stride apart.
struct PanelActs : DirectActs {
  static constexpr bool kPacked = false;
  const int32_t* starts;
  size_t start_stride;

  template <int kScales>
  LULL_INLINE int32_t Start(int c, int half, int32_t) const {
    return starts[static_cast<size_t>(c) * start_stride + static_cast<size_t>(half)];
  }
  template <int kScales>
  LULL_INLINE void Next() {
    DirectActs::Next<kScales>();
    starts += kScales;
  }
};

// Subtracted from every unsigned weight; 0 where DotQ8 handles signed bytes itself.
template <typename T>
constexpr int32_t OffsetOf() {
  return T::kFullRange ? kQ8Offset : T::kOffset;
}

// A word of every row's weights with the same word of every activation row.
template <typename T, int kWord, typename Sum, typename Acts, int kGroups, int kCols>
LULL_INLINE void DotWord(const uint8_t* const sub[kMaxGroups], const Acts& acts,
                         Sum (&dot)[kGroups][kCols]) {
  U8 w[kGroups];
#pragma GCC unroll kTileUnroll
  for (int g = 0; g < kGroups; ++g) w[g] = T::template Word<kWord>(sub[g]);
#pragma GCC unroll kTileUnroll
  for (int c = 0; c < kCols; ++c) {
    const int32_t a4 = acts.Word(c, kWord);
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) {
      if constexpr (IsSmall<T>())
        dot[g][c] = DotPartial(dot[g][c], w[g], a4);
      else
        dot[g][c] = T::kFullRange ? DotQ8(dot[g][c], w[g], a4) : DotU8(dot[g][c], w[g], a4);
    }
  }
}

// The words of one scale: all eight, or four for each half.
template <typename T, int kHalf, typename Sum, typename Acts, int kGroups, int kCols>
LULL_INLINE void DotEachWord(const uint8_t* const sub[kMaxGroups], const Acts& acts,
                             Sum (&dot)[kGroups][kCols]) {
  DotWord<T, 4 * kHalf + 0>(sub, acts, dot);
  DotWord<T, 4 * kHalf + 1>(sub, acts, dot);
  DotWord<T, 4 * kHalf + 2>(sub, acts, dot);
  DotWord<T, 4 * kHalf + 3>(sub, acts, dot);
  if constexpr (T::kScales == 1) {
    DotWord<T, 4>(sub, acts, dot);
    DotWord<T, 5>(sub, acts, dot);
    DotWord<T, 6>(sub, acts, dot);
    DotWord<T, 7>(sub, acts, dot);
  }
}
template <typename T, int kHalf, typename Acts, int kGroups, int kCols>
LULL_INLINE void DotWords(const uint8_t* const sub[kMaxGroups], const Acts& acts,
                          I32 (&dot)[kGroups][kCols]) {
  if constexpr (IsSmall<T>()) {
    Partial sum[kGroups][kCols];
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) sum[g][c] = ZeroPartial();
    }
    DotEachWord<T, kHalf>(sub, acts, sum);
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) dot[g][c] = AddPartial(dot[g][c], sum[g][c]);
    }
  } else {
    DotEachWord<T, kHalf>(sub, acts, dot);
  }
}

// Lines from `offset` on of each group's block.
template <size_t kLines, int kGroups>
LULL_INLINE void FetchLines(const uint8_t* const block[kMaxGroups], size_t offset) {
#pragma GCC unroll kTileUnroll
  for (size_t line = 0; line < kLines; ++line) {
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) Prefetch(block[g] + offset + 64 * line);
  }
}
constexpr size_t LinesOf(size_t bytes) { return (bytes + 63) / 64; }

// What a stream of weights fetches ahead: the first touch of memory, a decode step's bound. Each
// 32-block fetches its like about kAheadBytes on; the scales at a super-block's end, wanted before
// all else of it, are fetched a whole block ahead. `left` blocks of the group are to come, this one
// included; behind them the stream goes on `skip` bytes further.
inline constexpr size_t kAheadBytes = 3072;
template <typename T, int kGroups>
LULL_INLINE void FetchStream(const uint8_t* const block[kMaxGroups], size_t index, size_t left,
                             size_t skip) {
  constexpr size_t kSubs = T::kBlockK / 32, kBlock = T::kPackedBlockBytes;
  constexpr size_t kShare = kSubs == 1 ? kBlock : T::kSubBytes, kTail = kBlock - kSubs * kShare;
  const size_t ahead = index + (kAheadBytes + kShare - 1) / kShare, blocks = ahead / kSubs;
  FetchLines<LinesOf(kShare), kGroups>(
      block, blocks * kBlock + ahead % kSubs * kShare + (blocks < left ? 0 : skip));
  if constexpr (kTail > 0) {
    if (index == 0)
      FetchLines<LinesOf(kTail), kGroups>(block, 2 * kBlock - kTail + (left > 1 ? 0 : skip));
  }
}
template <int kGroups>
LULL_INLINE void FetchNext(const uint8_t* fetch[kMaxGroups], size_t lines) {
  for (size_t line = 0; line < lines; ++line) {
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) Prefetch(fetch[g] + 64 * line);
  }
#pragma GCC unroll kTileUnroll
  for (int g = 0; g < kGroups; ++g) fetch[g] += 64 * lines;
}

template <int kGroups, int kCols>
LULL_INLINE void BeginSums(const TileArgs& args, F32 (&acc)[kGroups][kCols]) {
#pragma GCC unroll kTileUnroll
  for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) {
      acc[g][c] = ZeroF32();
      if (args.resume) {
        const float* from = args.out + static_cast<size_t>(c) * args.out_stride + 16 * g;
        acc[g][c] = LoadF32Partial(from, args.valid[g]);
      }
    }
  }
}
template <int kGroups, int kCols>
LULL_INLINE void EndSums(const TileArgs& args, const F32 (&acc)[kGroups][kCols]) {
#pragma GCC unroll kTileUnroll
  for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) {
      float* to = args.out + static_cast<size_t>(c) * args.out_stride + 16 * g;
      StoreF32Partial(to, acc[g][c], args.valid[g]);
    }
  }
}

// A tile over all of K. Tile says what becomes of 32 weights of each row, and of a whole block.
template <typename Tile, typename T, typename Acts, int kGroups, int kCols>
LULL_INLINE void RunTile(const TileArgs& args, Acts acts) {
  constexpr size_t kSubs = T::kBlockK / 32;
  F32 acc[kGroups][kCols];
  const uint8_t* block[kMaxGroups];
  for (int g = 0; g < kGroups; ++g) block[g] = args.group[g];
  const uint8_t* fetch[kMaxGroups];
  for (int g = 0; g < kGroups; ++g) fetch[g] = args.fetch[g];
  BeginSums(args, acc);
  for (size_t b = 0; b < args.num_blocks; ++b) {
    typename T::State state[kGroups];
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) T::Begin(block[g], state[g]);
    typename Tile::Block gathered;
    for (size_t index = 0; index < kSubs; ++index) {
      const uint8_t* sub[kMaxGroups];
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) sub[g] = block[g] + index * T::kSubBytes;
      if (Acts::kPacked && (kGroups > kTileGroups || args.stream)) {
        FetchStream<T, kGroups>(block, index, args.num_blocks - b, args.fetch_skip);
      } else {
        FetchNext<kGroups>(fetch, args.fetch_lines);
      }
      Tile::AddSub(sub, state, index, acts, gathered, acc);
    }
    Tile::EndBlock(state, acts, gathered, acc);
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) block[g] += T::kPackedBlockBytes;
  }
  EndSums(args, acc);
}

template <typename T, typename Acts, int kGroups, int kCols>
struct IntTile {
  template <int kHalf>
  static LULL_INLINE void DotScale(const uint8_t* const sub[kMaxGroups],
                                   const typename T::State (&state)[kGroups], size_t index,
                                   const Acts& acts, F32 (&acc)[kGroups][kCols]) {
    I32 dot[kGroups][kCols];
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
      const I32 start = OffsetOf<T>() == 0
                            ? Set1I32(0)
                            : Set1I32(acts.template Start<T::kScales>(c, kHalf, OffsetOf<T>()));
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) dot[g][c] = start;
    }
    DotWords<T, kHalf>(sub, acts, dot);
    F32 w_scale[kGroups];
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) w_scale[g] = T::Scale(state[g], index, kHalf);
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
      const F32 a_scale = Set1(acts.Scale(c));
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) {
        acc[g][c] = Fma(Mul(ToF32(dot[g][c]), a_scale), w_scale[g], acc[g][c]);
      }
    }
  }

  template <int kHalf>
  static LULL_INLINE void AddMins(const typename T::State (&state)[kGroups], size_t index,
                                  const Acts& acts, F32 (&acc)[kGroups][kCols]) {
    F32 w_min[kGroups];
#pragma GCC unroll kTileUnroll
    for (int g = 0; g < kGroups; ++g) w_min[g] = T::Min(state[g], index, kHalf);
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
      const F32 sum = Set1(T::kScales == 2 ? acts.ScaledHalfSum(c, kHalf) : acts.ScaledSum(c));
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) acc[g][c] = Fma(w_min[g], sum, acc[g][c]);
    }
  }

  // What a block gathers beside the sums: nothing, each 32-block is added at once.
  struct Block {};
  static LULL_INLINE void AddSub(const uint8_t* const sub[kMaxGroups],
                                 const typename T::State (&state)[kGroups], size_t index,
                                 Acts& acts, Block&, F32 (&acc)[kGroups][kCols]) {
    DotScale<0>(sub, state, index, acts, acc);
    if constexpr (T::kScales == 2) DotScale<1>(sub, state, index, acts, acc);
    if constexpr (T::kHasMin) AddMins<0>(state, index, acts, acc);
    if constexpr (T::kHasMin && T::kScales == 2) AddMins<1>(state, index, acts, acc);
    acts.template Next<T::kScales>();
  }
  static LULL_INLINE void EndBlock(const typename T::State (&)[kGroups], Acts&, const Block&,
                                   F32 (&)[kGroups][kCols]) {}

  static void Run(const TileArgs& args, Acts acts) {
    RunTile<IntTile, T, Acts, kGroups, kCols>(args, acts);
  }
};

// Float weights: one FMA chain in ascending k for each output.
template <typename T, int kGroups, int kCols>
struct FloatTile {
  static void Run(const TileArgs& args, const float* x, size_t k) {
    F32 acc[kGroups][kCols];
#pragma GCC unroll kTileUnroll
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) acc[g][c] = ZeroF32();
    }
    for (size_t i = 0; i < k; ++i) {
      F32 w[kGroups];
#pragma GCC unroll kTileUnroll
      for (int g = 0; g < kGroups; ++g) w[g] = T::Weights(args.group[g] + i * T::kPackedBlockBytes);
#pragma GCC unroll kTileUnroll
      for (int c = 0; c < kCols; ++c) {
        const F32 a = Set1(x[static_cast<size_t>(c) * k + i]);
#pragma GCC unroll kTileUnroll
        for (int g = 0; g < kGroups; ++g) acc[g][c] = Fma(w[g], a, acc[g][c]);
      }
    }
    EndSums(args, acc);
  }
};

}  // namespace lull::LULL_ISA
