// MatMul of one instruction set: chooses tiles, unpacks panels.
#include "kernels/cpu/matmul_panel-inl.h"
#include "kernels/cpu/matmul_tile-inl.h"
#include "kernels/cpu/matmul_super_acts-inl.h"
#include "kernels/cpu/matmul_super-inl.h"
#include "quant/all_types-inl.h"

namespace lull::LULL_ISA {

// Up to so many rows the weights are unpacked from where they lie, by each tile of columns anew
// (verifying drafted tokens, small batches). Above it they are unpacked once to a panel of bytes
// that all column tiles of the call share.
inline constexpr size_t kDirectRows = 3 * kTileCols;
inline constexpr size_t kPanelBytes = kTileGroups * kPanelSubs * kMaxPanelSubBytes;
inline constexpr size_t kStartsBytes = 4 * kPanelRows * 2 * kPanelSubs;

// Weights stored as bytes are their own panel.
template <typename T>
inline constexpr bool kIsBytes = T::kFullRange&& T::kSubBytes == 512;

// How a type is multiplied, in blocks of 32 or (kSuper) in super-blocks: its panel, how it reads
// activations and the tile.
template <typename T, bool kSuper>
struct Plan {
  using Panel = std::conditional_t<kIsBytes<T>, T, PanelOf<T>>;
  static void Unpack(const uint8_t* packed, size_t num_blocks, uint8_t* panel) {
    UnpackPanel<T>(packed, num_blocks, panel);
  }
  using Direct = DirectActs;
  using FromPanel = PanelActs;
  template <typename Source, typename Acts, int kGroups, int kCols>
  using Tile = IntTile<Source, Acts, kGroups, kCols>;
};
template <typename T>
struct Plan<T, true> {
  using Panel = SuperPanelOf<T>;
  static void Unpack(const uint8_t* packed, size_t num_blocks, uint8_t* panel) {
    UnpackSuperPanel<T>(packed, num_blocks, panel);
  }
  using Direct = SuperActs<true>;
  using FromPanel = SuperActs<false>;
  template <typename Source, typename Acts, int kGroups, int kCols>
  using Tile = SuperTile<Source, Acts, kGroups, kCols>;
};

inline DirectActs ActsAt(const Activations& x, size_t row, size_t sub) {
  const size_t k = x.k;
  return {x.q + row * k + 32 * sub, x.scale + row * (k / 32) + sub,
          x.scaled_sum + row * (k / 32) + sub, x.half_sums + row * (k / 16) + 2 * sub, k};
}

// starts[row][32-block or half] of 32-blocks [sub, sub + num_subs), for PanelActs.
template <typename T, bool kSuper>
inline void FillStarts(const Activations& x, size_t row, size_t rows, size_t sub, size_t num_subs,
                       int32_t* starts) {
  if constexpr (OffsetOf<T>() == 0 || kSuper) return;
  for (size_t r = 0; r < rows; ++r, starts += num_subs * T::kScales) {
    const int32_t* sums = x.half_sums + (row + r) * (x.k / 16) + 2 * sub;
    for (size_t s = 0; s < num_subs * T::kScales; ++s) {
      starts[s] = -OffsetOf<T>() * (T::kScales == 2 ? sums[s] : sums[2 * s] + sums[2 * s + 1]);
    }
  }
}

// The activations of rows from `row` on, from packed block `block` on.
template <typename T, bool kSuper>
inline typename Plan<T, kSuper>::Direct DirectAt(const Activations& x, size_t row) {
  if constexpr (kSuper)
    return SuperActsAt<true>(x, row, 0);
  else
    return ActsAt(x, row, 0);
}
template <typename T, bool kSuper>
inline typename Plan<T, kSuper>::FromPanel FromPanelAt(const Activations& x, size_t row,
                                                       size_t block, const int32_t* starts,
                                                       size_t start_stride) {
  if constexpr (kSuper)
    return SuperActsAt<false>(x, row, block);
  else
    return {ActsAt(x, row, block * (T::kBlockK / 32)), starts, start_stride};
}

template <typename Acts>
using TileFn = void (*)(const TileArgs&, Acts);
using FloatFn = void (*)(const TileArgs&, const float*, size_t);

// Kernels for 1..kTileCols columns of kGroups groups.
template <typename T, bool kSuper, int kGroups,
          typename Columns = std::make_integer_sequence<int, kTileCols>>
struct TileTable;
template <typename T, bool kSuper, int kGroups, int... kIndex>
struct TileTable<T, kSuper, kGroups, std::integer_sequence<int, kIndex...>> {
  static auto Direct(size_t cols) {
    using Acts = typename Plan<T, kSuper>::Direct;
    static constexpr TileFn<Acts> kFns[] = {
        &Plan<T, kSuper>::template Tile<T, Acts, kGroups, kIndex + 1>::Run...};
    return kFns[cols - 1];
  }
  static auto FromPanel(size_t cols) {
    using Acts = typename Plan<T, kSuper>::FromPanel;
    using Panel = typename Plan<T, kSuper>::Panel;
    static constexpr TileFn<Acts> kFns[] = {
        &Plan<T, kSuper>::template Tile<Panel, Acts, kGroups, kIndex + 1>::Run...};
    return kFns[cols - 1];
  }
  static FloatFn Float(size_t cols) {
    static constexpr FloatFn kFns[] = {&FloatTile<T, kGroups, kIndex + 1>::Run...};
    return kFns[cols - 1];
  }
};

// `num_groups` of them exist; where a tile has more, the last one stands in for the rest, of which
// nothing is stored.
inline TileArgs TileAt(const MatMulArgs& m, size_t group, size_t num_groups, size_t row) {
  TileArgs t = {};
  for (size_t g = 0; g < kMaxGroups; ++g) {
    const size_t last = group + (g < num_groups ? g : num_groups - 1);
    t.group[g] = m.w.data + last * m.w.group_bytes;
    const size_t left = m.w.rows - 16 * last;
    t.valid[g] = g >= num_groups ? 0 : left < 16 ? left : 16;
  }
  t.out = m.out + row * m.out_stride + 16 * group;
  t.out_stride = m.out_stride;
  return t;
}

// Rows are cut into the fewest tiles, of nearly equal width.
inline size_t NextCols(size_t rows_left) {
  const size_t tiles = (rows_left + kTileCols - 1) / kTileCols;
  return (rows_left + tiles - 1) / tiles;
}

// One row from memory: more groups at a time are more streams, and more of memory's latency is
// hidden. Of super-blocks the scales of as many groups as a tile has fill the registers already.
template <typename T>
inline constexpr int kStreamsOf = T::kBlockK > 32 && kTileGroups > 1 ? kTileGroups : kStreamGroups;
template <typename T, bool kSuper>
void MatMulStreams(const MatMulArgs& m, size_t group) {
  using Acts = typename Plan<T, kSuper>::Direct;
  constexpr int kStreams = kStreamsOf<T>;
  TileArgs tile = TileAt(m, group, kStreams, m.row_begin);
  tile.num_blocks = m.x.k / T::kBlockK;
  tile.stream = true;
  tile.fetch_skip = (kStreams - 1) * m.w.group_bytes;
  Plan<T, kSuper>::template Tile<T, Acts, kStreams, 1>::Run(tile,
                                                            DirectAt<T, kSuper>(m.x, m.row_begin));
}

// Requires: at most kTileCols rows.
template <typename T, bool kSuper>
void MatMulDirect(const MatMulArgs& m) {
  const size_t rows = m.row_end - m.row_begin;
  for (size_t g = m.group_begin; g < m.group_end;) {
    if (rows == 1 && kStreamsOf < T >> kTileGroups && m.group_end - g >= kStreamsOf<T>) {
      MatMulStreams<T, kSuper>(m, g);
      g += kStreamsOf<T>;
      continue;
    }
    const size_t num_groups = m.group_end - g >= kTileGroups ? kTileGroups : 1;
    TileArgs tile = TileAt(m, g, num_groups, m.row_begin);
    tile.num_blocks = m.x.k / T::kBlockK;
    tile.stream = true;
    tile.fetch_skip = (num_groups - 1) * m.w.group_bytes;
    TileTable<T, kSuper, kTileGroups>::Direct(rows)(tile, DirectAt<T, kSuper>(m.x, m.row_begin));
    g += num_groups;
  }
}

// More columns than a tile's: all tiles of columns over two groups, which stay in cache meanwhile,
// then on. Each tile fetches its share of the next two groups, so that memory is never idle.
template <typename T, bool kSuper>
void MatMulInPasses(const MatMulArgs& m) {
  const size_t rows = m.row_end - m.row_begin, num_blocks = m.x.k / T::kBlockK;
  const size_t fetches = num_blocks * (T::kBlockK / 32) * ((rows + kTileCols - 1) / kTileCols);
  const size_t fetch_lines =
      fetches == 0 ? 0 : ((m.w.group_bytes + 63) / 64 + fetches - 1) / fetches;
  for (size_t g = m.group_begin; g < m.group_end;) {
    const size_t num_groups = m.group_end - g >= kTileGroups ? kTileGroups : 1;
    const uint8_t* next = m.w.data + (g + num_groups) * m.w.group_bytes;
    for (size_t row = m.row_begin; row < m.row_end;) {
      const size_t cols = NextCols(m.row_end - row);
      TileArgs tile = TileAt(m, g, num_groups, row);
      tile.num_blocks = num_blocks;
      tile.fetch_lines = fetch_lines;
      for (size_t i = 0; i < kTileGroups; ++i) tile.fetch[i] = next + i * m.w.group_bytes;
      next += 64 * fetch_lines * num_blocks * (T::kBlockK / 32);
      TileTable<T, kSuper, kTileGroups>::Direct(cols)(tile, DirectAt<T, kSuper>(m.x, row));
      row += cols;
    }
    g += num_groups;
  }
}

template <typename T, bool kSuper>
void PanelTiles(const MatMulArgs& m, size_t group, size_t num_groups, size_t row, size_t rows,
                size_t block, size_t num_blocks, const uint8_t* next) {
  constexpr size_t kSubs = T::kBlockK / 32;
  const size_t num_subs = num_blocks * kSubs;
  const uint8_t* source[kTileGroups];
  for (size_t g = 0; g < num_groups; ++g) {
    source[g] = m.w.data + (group + g) * m.w.group_bytes + block * T::kPackedBlockBytes;
    if constexpr (!kIsBytes<T>) {
      uint8_t* panel = m.scratch + g * kPanelSubs * kMaxPanelSubBytes;
      Plan<T, kSuper>::Unpack(source[g], num_blocks, panel);
      source[g] = panel;
    }
  }
  const int32_t* starts = reinterpret_cast<const int32_t*>(m.scratch + kPanelBytes);
  const size_t start_stride = num_subs * T::kScales;
  const size_t num_tiles = (rows + kTileCols - 1) / kTileCols;
  const size_t next_lines = (num_blocks * T::kPackedBlockBytes + 63) / 64;
  const size_t fetch_lines = (next_lines + num_tiles * num_subs - 1) / (num_tiles * num_subs);
  const uint8_t* fetch[2] = {next, next + m.w.group_bytes};
  for (size_t done = 0; done < rows;) {
    const size_t cols = NextCols(rows - done);
    TileArgs tile = TileAt(m, group, num_groups, row + done);
    tile.num_blocks = 32 * num_subs / Plan<T, kSuper>::Panel::kBlockK;
    tile.resume = block != 0;
    for (size_t g = 0; g < kTileGroups; ++g) {
      tile.group[g] = source[g < num_groups ? g : num_groups - 1];
      tile.fetch[g] = fetch[g];
      fetch[g] += 64 * num_subs * fetch_lines;
    }
    tile.fetch_lines = fetch_lines;
    TileTable<T, kSuper, kTileGroups>::FromPanel(cols)(
        tile,
        FromPanelAt<T, kSuper>(m.x, row + done, block, starts + done * start_stride, start_stride));
    done += cols;
  }
}

template <typename T, bool kSuper>
void MatMulPanel(const MatMulArgs& m) {
  constexpr size_t kSubs = T::kBlockK / 32;
  const size_t blocks = m.x.k / T::kBlockK;
  constexpr size_t kMaxBlocks = kPanelSubs / kSubs;
  static_assert(kIsBytes<T> || kMaxBlocks * (T::kBlockK / Plan<T, kSuper>::Panel::kBlockK) *
                                       Plan<T, kSuper>::Panel::kPackedBlockBytes <=
                                   kPanelSubs * kMaxPanelSubBytes);
  const size_t chunks = (blocks + kMaxBlocks - 1) / kMaxBlocks;
  const size_t chunk_blocks = (blocks + chunks - 1) / chunks;
  for (size_t row = m.row_begin; row < m.row_end; row += kPanelRows) {
    const size_t rows = m.row_end - row < kPanelRows ? m.row_end - row : kPanelRows;
    for (size_t block = 0; block < blocks; block += chunk_blocks) {
      const size_t num_blocks = blocks - block < chunk_blocks ? blocks - block : chunk_blocks;
      FillStarts<T, kSuper>(m.x, row, rows, block * kSubs, num_blocks * kSubs,
                            reinterpret_cast<int32_t*>(m.scratch + kPanelBytes));
      for (size_t g = m.group_begin; g < m.group_end;) {
        const size_t num_groups = m.group_end - g >= kTileGroups ? kTileGroups : 1;
        const uint8_t* next =
            m.w.data + (g + num_groups) * m.w.group_bytes + block * T::kPackedBlockBytes;
        PanelTiles<T, kSuper>(m, g, num_groups, row, rows, block, num_blocks, next);
        g += num_groups;
      }
    }
  }
}

template <typename T>
void MatMulFloat(const MatMulArgs& m) {
  for (size_t g = m.group_begin; g < m.group_end;) {
    const size_t num_groups = m.group_end - g >= kTileGroups ? kTileGroups : 1;
    for (size_t row = m.row_begin; row < m.row_end;) {
      const size_t cols = NextCols(m.row_end - row);
      TileTable<T, false, kTileGroups>::Float(cols)(TileAt(m, g, num_groups, row),
                                                    m.x.f32 + row * m.x.k, m.x.k);
      row += cols;
    }
    g += num_groups;
  }
}

template <typename T, bool kSuper>
void MatMulIn(const MatMulArgs& m) {
  const size_t rows = m.row_end - m.row_begin;
  if (rows <= kTileCols) {
    MatMulDirect<T, kSuper>(m);
  } else if (rows <= kDirectRows || m.x.k == 0) {
    MatMulInPasses<T, kSuper>(m);
  } else {
    MatMulPanel<T, kSuper>(m);
  }
}

template <typename T>
void MatMulOf(const MatMulArgs& m) {
  if constexpr (T::kFloat) {
    MatMulFloat<T>(m);
  } else if constexpr (kIsSuper<T>) {
    m.x.super_q != nullptr ? MatMulIn<T, true>(m) : MatMulIn<T, false>(m);
  } else {
    MatMulIn<T, false>(m);
  }
}

using MatMulFn = void (*)(const MatMulArgs&);
template <typename Sequence>
struct MatMulTable;
template <int... kIndex>
struct MatMulTable<std::integer_sequence<int, kIndex...>> {
  static constexpr MatMulFn kFns[] = {&MatMulOf<typename TypeAt<kIndex>::type>...};
};

void MatMul(const PackedMatrix& w, size_t group_begin, size_t group_end, const Activations& x,
            size_t row_begin, size_t row_end, float* out, size_t out_stride, void* scratch) {
  if (row_begin >= row_end) return;
  const MatMulArgs args = {w,   group_begin, group_end,
                           x,   row_begin,   row_end,
                           out, out_stride,  static_cast<uint8_t*>(scratch)};
  MatMulTable<std::make_integer_sequence<int, kNumTypes>>::kFns[w.format->index](args);
}

size_t MatMulScratchBytes(const PackedMatrix&) { return kPanelBytes + kStartsBytes; }

}  // namespace lull::LULL_ISA
