// MatMul on AMX tiles: up to 16 activation rows by 16 weight rows by the K of one scale at a time.
// The integer dots of a 32-block leave the tile through memory, and the vector units combine them
// with the scales, by the rules and in the order of every other instruction set. While they do, the
// tile unit works on the next 32-block. Few rows and float weights take the AVX-512 kernels.
#include "kernels/cpu/matmul_panel-inl.h"
#include "quant/all_types-inl.h"
#include "kernels/cpu/matmul_super_acts-inl.h"

namespace lull::LULL_ISA {

inline constexpr int kTileRows = 16;       // activation rows
inline constexpr size_t kLeastRows = 9;    // below, unpacking and the tiles' latency cost more
inline constexpr size_t kPanelGroups = 2;  // groups that share a tile of activations in L1
inline constexpr size_t kPanelBytes = kPanelGroups * kPanelSubs * kMaxPanelSubBytes;
inline constexpr size_t kScaleBytes = 4 * 3 * (kPanelRows + kTileRows) * kPanelSubs;
// What Combine reads of each activation row and 32-block: its scale, and for each min a scaled sum.
constexpr size_t RowFloats(int num_mins) { return static_cast<size_t>(num_mins == 2 ? 3 : 2); }

// The words of a type as signed bytes: what the tiles multiply, without a correction after it.
template <typename T>
struct SignedWords : T {
  static constexpr int kOffset = 0;
  static constexpr bool kFullRange = false;
  template <int kWord>
  static LULL_INLINE U8 Word(const uint8_t* sub) {
    constexpr int kFrom = T::kFullRange ? kQ8Offset : T::kOffset;
    if constexpr (kFrom == 0) return T::template Word<kWord>(sub);
    return SubU8(T::template Word<kWord>(sub), kFrom);
  }
};

struct AmxTileArgs {
  const uint8_t* panel;
  size_t num_subs;
  bool resume;           // start from what `out` holds
  size_t valid;          // weight rows that exist, 1..16
  const uint8_t* fetch;  // packed weights fetched ahead, fetch_lines for each 32-block
  size_t fetch_lines;
  const int8_t* q;      // activation row 0, 32-block 0
  size_t k;             // activation rows are k values apart
  const float* scales;  // [num_subs][RowFloats][16]: each row's scale, then each row's scaled sums
  float* out;
  size_t out_stride;
};

template <int kScales, int kMins, int kRows>
struct AmxTile {
  static constexpr size_t kSubBytes = 512 + 64 * (kScales + kMins);
  static constexpr size_t kScaleK = 32 / kScales;  // weights of one scale

  // Dots of one 32-block: [scale][row][16].
  static LULL_INLINE void Dots(const AmxTileArgs& t, size_t sub, int32_t* dots) {
    const int8_t* q = t.q + 32 * sub;
    const uint8_t* panel = t.panel + kSubBytes * sub;
    TileLoad<4>(q, t.k);
    TileLoad<6>(panel, 64);
    TileZero<0>();
    TileDot<0, 4, 6>();
    TileStore<0>(dots, 64);
    if constexpr (kScales == 2) {
      TileLoad<5>(q + kScaleK, t.k);
      TileLoad<7>(panel + 16 * kScaleK, 64);
      TileZero<1>();
      TileDot<1, 5, 7>();
      TileStore<1>(dots + 16 * kTileRows, 64);
    }
  }

  static LULL_INLINE void Combine(const AmxTileArgs& t, size_t sub, const int32_t* dots,
                                  F32 (&acc)[kRows]) {
    const float* scales = reinterpret_cast<const float*>(t.panel + kSubBytes * sub + 512);
    const float* row_scales = t.scales + RowFloats(kMins) * kTileRows * sub;
#pragma GCC unroll kTileUnroll
    for (int s = 0; s < kScales; ++s) {
      const F32 w_scale = LoadF32(scales + 16 * s);
#pragma GCC unroll kTileUnroll
      for (int r = 0; r < kRows; ++r) {
        const F32 dot = ToF32(LoadI32(dots + 16 * (s * kTileRows + r)));
        const F32 a_scale = Set1(row_scales[r]);
        acc[r] = Fma(Mul(dot, a_scale), w_scale, acc[r]);
      }
    }
#pragma GCC unroll kTileUnroll
    for (int m = 0; m < kMins; ++m) {
      const F32 w_min = LoadF32(scales + 16 * (kScales + m));
#pragma GCC unroll kTileUnroll
      for (int r = 0; r < kRows; ++r) {
        acc[r] = Fma(w_min, Set1(row_scales[(1 + m) * kTileRows + r]), acc[r]);
      }
    }
  }

  static void Run(const AmxTileArgs& args) {
    const AmxTileArgs t = args;
    alignas(64) int32_t dots[2][kScales * 16 * kTileRows];
    F32 acc[kRows];
#pragma GCC unroll kTileUnroll
    for (int r = 0; r < kRows; ++r) {
      acc[r] = t.resume ? LoadF32Partial(t.out + static_cast<size_t>(r) * t.out_stride, t.valid)
                        : ZeroF32();
    }
    Dots(t, 0, dots[0]);
    const uint8_t* fetch = t.fetch;
    for (size_t sub = 0; sub < t.num_subs; ++sub) {
      if (sub + 1 < t.num_subs) Dots(t, sub + 1, dots[(sub + 1) % 2]);
      for (size_t line = 0; line < t.fetch_lines; ++line, fetch += 64) Prefetch(fetch);
      Combine(t, sub, dots[sub % 2], acc);
    }
#pragma GCC unroll kTileUnroll
    for (int r = 0; r < kRows; ++r) {
      StoreF32Partial(t.out + static_cast<size_t>(r) * t.out_stride, acc[r], t.valid);
    }
  }
};

using AmxFn = void (*)(const AmxTileArgs&);
template <int kScales, int kMins, typename Rows = std::make_integer_sequence<int, kTileRows>>
struct AmxTable;
template <int kScales, int kMins, int... kIndex>
struct AmxTable<kScales, kMins, std::integer_sequence<int, kIndex...>> {
  static constexpr AmxFn kFns[] = {&AmxTile<kScales, kMins, kIndex + 1>::Run...};
};

// Sums and activations of `rows` rows; weights of 32 / scales values of K.
inline void ShapeTiles(size_t rows, int scales) {
  TileShapes shapes;
  for (int i = 0; i < 8; ++i) {
    shapes.rows[i] = static_cast<uint8_t>(i < 6 ? static_cast<int>(rows) : 8 / scales);
    shapes.row_bytes[i] = static_cast<uint16_t>(i < 4 || i > 5 ? 64 : 32 / scales);
  }
  SetTileShapes(shapes);
}

// Rows are cut into the fewest tiles, of nearly equal height.
inline size_t NextRows(size_t rows_left) {
  const size_t tiles = (rows_left + kTileRows - 1) / kTileRows;
  return (rows_left + tiles - 1) / tiles;
}

// The scales and scaled sums of `rows` rows of activations over some 32-blocks, tile by tile as
// Combine reads them.
template <int kMins>
inline void PackScales(const Activations& x, size_t row, size_t rows, size_t sub, size_t num_subs,
                       float* scales) {
  constexpr size_t kStride = RowFloats(kMins) * kTileRows;
  for (size_t done = 0; done < rows;) {
    const size_t tile_rows = NextRows(rows - done);
    for (size_t r = 0; r < tile_rows; ++r) {
      const size_t at = (row + done + r) * (x.k / 32) + sub;
      for (size_t s = 0; s < num_subs; ++s) {
        float* to = scales + kStride * s + r;
        const float scale = to[0] = x.scale[at + s];
        if constexpr (kMins == 2) {
          to[kTileRows] = scale * static_cast<float>(x.half_sums[2 * (at + s)]);
          to[2 * kTileRows] = scale * static_cast<float>(x.half_sums[2 * (at + s) + 1]);
        } else {
          to[kTileRows] = x.scaled_sum[at + s];
        }
      }
    }
    scales += kStride * num_subs;
    done += tile_rows;
  }
}

// Some groups by some rows over a chunk of K.
struct AmxPanel {
  size_t group, num_groups;
  size_t row, rows;
  size_t block, num_blocks;
};

template <typename T>
void AmxPanelTiles(const MatMulArgs& m, const AmxPanel& p, size_t& shaped_rows) {
  constexpr size_t kSubs = T::kBlockK / 32;
  constexpr size_t kStride = kPanelSubs * kMaxPanelSubBytes;
  const size_t num_subs = p.num_blocks * kSubs, sub = p.block * kSubs;
  const size_t num_tiles = (p.rows + kTileRows - 1) / kTileRows;
  const size_t lines = (p.num_blocks * T::kPackedBlockBytes + 63) / 64;
  const uint8_t* fetch[kPanelGroups];
  for (size_t g = 0; g < p.num_groups; ++g) {
    const uint8_t* packed =
        m.w.data + (p.group + g) * m.w.group_bytes + p.block * T::kPackedBlockBytes;
    UnpackPanel<SignedWords<T>>(packed, p.num_blocks, m.scratch + g * kStride);
    fetch[g] = packed + p.num_groups * m.w.group_bytes;
  }
  AmxTileArgs t = {};
  t.num_subs = num_subs;
  t.resume = p.block != 0;
  t.fetch_lines = (lines + num_tiles * num_subs - 1) / (num_tiles * num_subs);
  t.k = m.x.k;
  t.out_stride = m.out_stride;
  const float* scales = reinterpret_cast<const float*>(m.scratch + kPanelBytes);
  for (size_t done = 0, tile = 0; done < p.rows; ++tile) {
    const size_t rows = NextRows(p.rows - done), row = p.row + done;
    if (rows != shaped_rows) ShapeTiles(rows, T::kScales);
    shaped_rows = rows;
    t.q = m.x.q + row * t.k + 32 * sub;
    t.scales = scales + RowFloats(kMinsOf<T>) * kTileRows * num_subs * tile;
    for (size_t g = 0; g < p.num_groups; ++g) {
      const size_t left = m.w.rows - 16 * (p.group + g);
      t.valid = left < 16 ? left : 16;
      t.panel = m.scratch + g * kStride;
      t.fetch = fetch[g];
      fetch[g] += 64 * t.fetch_lines * num_subs;
      t.out = m.out + row * m.out_stride + 16 * (p.group + g);
      AmxTable<T::kScales, kMinsOf<T>>::kFns[rows - 1](t);
    }
    done += rows;
  }
}

template <typename T>
void AmxMatMul(const MatMulArgs& m) {
  constexpr size_t kSubs = T::kBlockK / 32, kMaxBlocks = kPanelSubs / kSubs;
  const size_t blocks = m.x.k / T::kBlockK;
  const size_t chunks = (blocks + kMaxBlocks - 1) / kMaxBlocks;
  const size_t chunk_blocks = (blocks + chunks - 1) / chunks;
  size_t shaped_rows = 0;
  for (size_t row = m.row_begin; row < m.row_end; row += kPanelRows) {
    const size_t rows = m.row_end - row < kPanelRows ? m.row_end - row : kPanelRows;
    for (size_t block = 0; block < blocks; block += chunk_blocks) {
      const size_t num_blocks = blocks - block < chunk_blocks ? blocks - block : chunk_blocks;
      PackScales<kMinsOf<T>>(m.x, row, rows, block * kSubs, num_blocks * kSubs,
                             reinterpret_cast<float*>(m.scratch + kPanelBytes));
      for (size_t g = m.group_begin; g < m.group_end; g += kPanelGroups) {
        const size_t num_groups = m.group_end - g < kPanelGroups ? m.group_end - g : kPanelGroups;
        AmxPanelTiles<T>(m, {g, num_groups, row, rows, block, num_blocks}, shaped_rows);
      }
    }
  }
  ReleaseTiles();
}

}  // namespace lull::LULL_ISA

#include "kernels/cpu/matmul_amx_super-inl.h"

namespace lull::LULL_ISA {

using MatMulFn = void (*)(const MatMulArgs&);
template <typename T, bool kSuper>
constexpr MatMulFn AmxMatMulOf() {
  if constexpr (T::kFloat) {
    return nullptr;
  } else if constexpr (kSuper && kIsSuper<T>) {
    return &AmxSuperMatMul<T>;
  } else {
    return &AmxMatMul<T>;
  }
}
template <bool kSuper, typename Sequence>
struct MatMulTable;
template <bool kSuper, int... kIndex>
struct MatMulTable<kSuper, std::integer_sequence<int, kIndex...>> {
  static constexpr MatMulFn kFns[] = {AmxMatMulOf<typename TypeAt<kIndex>::type, kSuper>()...};
};

void MatMul(const PackedMatrix& w, size_t group_begin, size_t group_end, const Activations& x,
            size_t row_begin, size_t row_end, float* out, size_t out_stride, void* scratch) {
  using Types = std::make_integer_sequence<int, kNumTypes>;
  const MatMulFn fn = x.super_q != nullptr ? MatMulTable<true, Types>::kFns[w.format->index]
                                           : MatMulTable<false, Types>::kFns[w.format->index];
  if (fn == nullptr || row_end < row_begin + kLeastRows || x.k == 0) {
    avx512::MatMul(w, group_begin, group_end, x, row_begin, row_end, out, out_stride, scratch);
    return;
  }
  fn({w, group_begin, group_end, x, row_begin, row_end, out, out_stride,
      static_cast<uint8_t*>(scratch)});
}

bool HasTiles(const QuantFormat& format) {
  return MatMulTable<false, std::make_integer_sequence<int, kNumTypes>>::kFns[format.index] !=
         nullptr;
}

size_t MatMulScratchBytes(const PackedMatrix& w) {
  constexpr size_t kBlockBytes = kPanelBytes + kScaleBytes;
  constexpr size_t kBytes = kBlockBytes < kSuperScratchBytes ? kSuperScratchBytes : kBlockBytes;
  const size_t vector_bytes = avx512::MatMulScratchBytes(w);
  return vector_bytes < kBytes ? kBytes : vector_bytes;
}

}  // namespace lull::LULL_ISA
