// Products with K-quants on AMX tiles. A weight times its sub-block's integer scale is two bytes,
// high and low: so 256 values of K are summed within the tiles, and leave them once. Included
// inside the instruction set's namespace.
namespace lull::LULL_ISA {

// 16 weight rows of a super-block as the tiles and Combine read them.
template <typename T>
struct AmxSuperPanel {
  static constexpr int kLowBits = T::kHasMin ? 3 : 6;
  static constexpr int kPairs = T::kHasMin ? kNumPairs<T> : 0;  // offsets are in the bytes
  alignas(64) uint8_t high[256 * 16];                           // [k / 4][16][4]
  uint8_t low[256 * 16];
  int32_t pairs[kPairs + 1][16];
  float scale[16], min_scale[16];

  template <int kWord>
  LULL_INLINE void UnpackWord(const uint8_t* sub, size_t index, I32 scale_of_word) {
    const U8 word = T::template Word<kWord>(sub);
    const U8Pair both =
        T::kHasMin ? ScaleU8(word, scale_of_word) : ScaleOffset(word, T::kOffset, scale_of_word);
    StoreU8(high + 512 * index + 64 * kWord, both.high);
    StoreU8(low + 512 * index + 64 * kWord, both.low);
  }
  void Unpack(const uint8_t* packed) {
    typename T::State state;
    T::Begin(packed, state);
    for (size_t index = 0; index < 8; ++index) {
      const uint8_t* sub = packed + index * T::kSubBytes;
      const I32 first = T::SubScale(state, index, 0);
      const I32 second = T::kScales == 2 ? T::SubScale(state, index, 1) : first;
      UnpackWord<0>(sub, index, first);
      UnpackWord<1>(sub, index, first);
      UnpackWord<2>(sub, index, first);
      UnpackWord<3>(sub, index, first);
      UnpackWord<4>(sub, index, second);
      UnpackWord<5>(sub, index, second);
      UnpackWord<6>(sub, index, second);
      UnpackWord<7>(sub, index, second);
    }
    for (int p = 0; p < kPairs; ++p) StoreI32(pairs[p], T::Pair(state, static_cast<size_t>(p)));
    StoreF32(scale, T::SuperScale(state));
    if constexpr (T::kHasMin) StoreF32(min_scale, T::SuperMinScale(state));
  }
};

inline constexpr size_t kMaxSuperPanelBytes = 2 * 256 * 16 + (8 + 1 + 2) * 64;
inline constexpr size_t kSuperRows = 128;  // activation rows that share an unpacked panel
// The panel, then the f32 sums of kSuperRows rows by 16.
inline constexpr size_t kSuperScratchBytes = kMaxSuperPanelBytes + kSuperRows * 64;

// Sums 0..3 and activations 4 and 5 of `rows` rows; 64 values of K.
inline void ShapeSuperTiles(size_t rows) {
  TileShapes shapes;
  for (int i = 0; i < 8; ++i) {
    shapes.rows[i] = static_cast<uint8_t>(i < 6 ? rows : 16);
    shapes.row_bytes[i] = 64;
  }
  SetTileShapes(shapes);
}

template <bool kUnsigned, int kSum, int kA, int kB>
LULL_INLINE void SuperDot() {
  if constexpr (kUnsigned)
    TileDotUnsigned<kSum, kA, kB>();
  else
    TileDot<kSum, kA, kB>();
}

// One or two tiles of activation rows, k apart, by 16 weight rows and one super-block. dots:
// [tile][high, low][row][16].
template <typename T, bool kTwo>
LULL_INLINE void SuperDots(const AmxSuperPanel<T>& panel, const int8_t* first, const int8_t* second,
                           size_t k, int32_t* dots) {
  constexpr bool kUnsigned = T::kHasMin;
  TileZero<0>();
  TileZero<1>();
  if constexpr (kTwo) {
    TileZero<2>();
    TileZero<3>();
  }
#pragma GCC unroll kTileUnroll
  for (size_t step = 0; step < 4; ++step) {
    TileLoad<6>(panel.high + 1024 * step, 64);
    TileLoad<4>(first + 64 * step, k);
    SuperDot<kUnsigned, 0, 4, 6>();
    TileLoad<7>(panel.low + 1024 * step, 64);
    SuperDot<kUnsigned, 1, 4, 7>();
    if constexpr (kTwo) {
      TileLoad<5>(second + 64 * step, k);
      SuperDot<kUnsigned, 2, 5, 6>();
      SuperDot<kUnsigned, 3, 5, 7>();
    }
  }
  TileStore<0>(dots, 64);
  TileStore<1>(dots + 16 * kTileRows, 64);
  if constexpr (kTwo) {
    TileStore<2>(dots + 32 * kTileRows, 64);
    TileStore<3>(dots + 48 * kTileRows, 64);
  }
}

// A row of a tile: its dots, and its sums.
template <typename T>
LULL_INLINE void SuperCombineRow(const AmxSuperPanel<T>& panel, const int32_t* dots,
                                 const SuperActs<false>& acts, int row, float* sums) {
  using Panel = AmxSuperPanel<T>;
  const I32 high = LoadI32(dots + 16 * row), low = LoadI32(dots + 16 * (kTileRows + row));
  const F32 whole = ToF32(AddI32(ShiftLeft<Panel::kLowBits>(high), low));
  const F32 a_scale = Set1(acts.Scale(row));
  F32 sum = Fma(Mul(whole, a_scale), LoadF32(panel.scale), LoadF32(sums + 16 * row));
  if constexpr (T::kHasMin) {
    I32 dot = Set1I32(0);
#pragma GCC unroll kTileUnroll
    for (int p = 0; p < Panel::kPairs; ++p)
      dot = DotI16(dot, LoadI32(panel.pairs[p]), acts.template Pair<T::kScales>(row, p));
    sum = Fma(Mul(ToF32(dot), a_scale), LoadF32(panel.min_scale), sum);
  }
  StoreF32(sums + 16 * row, sum);
}

template <typename T>
LULL_INLINE void SuperCombine(const AmxSuperPanel<T>& panel, const int32_t* dots,
                              SuperActs<false> acts, int rows, float* sums) {
  if (rows == kTileRows) {
#pragma GCC unroll kTileUnroll
    for (int r = 0; r < kTileRows; ++r) SuperCombineRow(panel, dots, acts, r, sums);
    return;
  }
  for (int r = 0; r < rows; ++r) SuperCombineRow(panel, dots, acts, r, sums);
}

// 16 weight rows by rows [row, row + rows) of activations, all of K. All tiles are of one height:
// where the rows are no multiple of 16 the last one begins among those of the tile before.
template <typename T>
void SuperGroup(const MatMulArgs& m, size_t group, size_t row, size_t rows) {
  using Panel = AmxSuperPanel<T>;
  static_assert(sizeof(Panel) <= kMaxSuperPanelBytes);
  Panel& panel = *reinterpret_cast<Panel*>(m.scratch);
  float* sums = reinterpret_cast<float*>(m.scratch + kMaxSuperPanelBytes);
  alignas(64) int32_t dots[64 * kTileRows];
  memset(sums, 0, rows * 64);
  const size_t last = rows > kTileRows ? rows - kTileRows : 0;
  const uint8_t* packed = m.w.data + group * m.w.group_bytes;
  for (size_t block = 0; block < m.x.k / 256; ++block, packed += T::kPackedBlockBytes) {
    panel.Unpack(packed);
    for (size_t line = 0; line < T::kPackedBlockBytes; line += 64)
      Prefetch(packed + T::kPackedBlockBytes + line);
    const int8_t* q = m.x.super_q + row * m.x.k + 256 * block;
    for (size_t done = 0; done < rows; done += 2 * kTileRows) {
      const size_t from[2] = {done < last ? done : last,
                              done + kTileRows < last ? done + kTileRows : last};
      const size_t tiles = rows - done > kTileRows ? 2 : 1;
      if (tiles == 2)
        SuperDots<T, true>(panel, q + from[0] * m.x.k, q + from[1] * m.x.k, m.x.k, dots);
      else
        SuperDots<T, false>(panel, q + from[0] * m.x.k, nullptr, m.x.k, dots);
      for (size_t tile = 0; tile < tiles; ++tile) {
        const size_t first = done + tile * kTileRows, left = rows - first;
        SuperCombine(panel, dots + 32 * kTileRows * tile + 16 * (first - from[tile]),
                     SuperActsAt<false>(m.x, row + first, block),
                     static_cast<int>(left < kTileRows ? left : kTileRows), sums + 16 * first);
      }
    }
  }
  const size_t left = m.w.rows - 16 * group, valid = left < 16 ? left : 16;
  for (size_t r = 0; r < rows; ++r)
    StoreF32Partial(m.out + (row + r) * m.out_stride + 16 * group, LoadF32(sums + 16 * r), valid);
}

template <typename T>
void AmxSuperMatMul(const MatMulArgs& m) {
  size_t shaped_rows = 0;
  for (size_t row = m.row_begin; row < m.row_end; row += kSuperRows) {
    const size_t rows = m.row_end - row < kSuperRows ? m.row_end - row : kSuperRows;
    const size_t tile_rows = rows < kTileRows ? rows : kTileRows;
    if (tile_rows != shaped_rows) ShapeSuperTiles(tile_rows);
    shaped_rows = tile_rows;
    for (size_t g = m.group_begin; g < m.group_end; ++g) SuperGroup<T>(m, g, row, rows);
  }
  ReleaseTiles();
}

}  // namespace lull::LULL_ISA
