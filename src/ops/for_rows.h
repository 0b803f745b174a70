// fn for each row of a batch, in tiles by cost.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/thread_pool.h"
#include "ops/op_env.h"

namespace lull {

// fn(row, thread) for rows [0, rows), on any thread.
template <typename Fn>
void ForRows(const ExecContext& ctx, size_t rows, double ns_per_row, Fn&& fn) {
  const RowTiles tiles(ctx, rows, ns_per_row);
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    const size_t end = std::min(rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row) fn(row, thread);
  });
}

}  // namespace lull
