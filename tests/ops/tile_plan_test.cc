#include "ops/tile_plan.h"

#include <gtest/gtest.h>

#include <map>

#include "base/thread_pool.h"
#include "ops/op_env.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

PackedMatrix Shape(const char* format, size_t rows, size_t k) {
  PackedMatrix w;
  w.format = FindQuantFormatByName(format);
  w.rows = rows;
  w.k = k;
  w.group_bytes = w.format->GroupBytes(k);
  return w;
}

// Every (item, row, unit) is in exactly one tile.
void ExpectCovers(const TilePlan& plan,
                  const std::vector<std::pair<size_t, size_t>>& rows_and_units) {
  std::vector<std::vector<int>> seen;
  for (const auto& [rows, units] : rows_and_units) seen.emplace_back(rows * units);
  for (size_t tile = 0; tile < plan.tiles(); ++tile)
    plan.ForTile(tile, [&](const Strip& strip, size_t begin, size_t end) {
      for (size_t row = strip.row_begin; row < strip.row_end; ++row)
        for (size_t unit = begin; unit < end; ++unit)
          ++seen[strip.item][row * rows_and_units[strip.item].second + unit];
    });
  for (const auto& item : seen)
    for (int count : item) ASSERT_EQ(count, 1);
}

TEST(TilePlanTest, CoversEveryOutputOnce) {
  const Kernels& kernels = BestKernels();
  TilePlan plan;
  for (int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ExecContext ctx;
    ctx.pool = &pool;
    for (size_t rows : {1, 2, 7, 33, 511})
      for (size_t out : {16, 30, 192, 576, 4096})
        for (size_t k : {32, 576, 4096}) {
          const PackedMatrix a = Shape("Q4_1", out, k), b = Shape("Q8_0", 48, k);
          plan.Clear();
          plan.AddItem(kernels, 0, a, 1, false, 0, rows, 1, 0);
          plan.AddItem(kernels, 1, b, 1, false, 0, rows, 1, 0);
          ASSERT_GE(plan.Finish(ctx), 1u);
          ExpectCovers(plan, {{rows, a.groups()}, {rows, b.groups()}});
        }
  }
}

TEST(TilePlanTest, EmptyItemsAreSkipped) {
  TilePlan plan;
  const PackedMatrix w = Shape("Q4_0", 64, 64);
  plan.Clear();
  plan.AddItem(BestKernels(), 0, w, 1, false, 5, 5, 1, 0);
  EXPECT_EQ(plan.Finish(ExecContext()), 0u);
  plan.AddItem(BestKernels(), 1, w, 2, false, 3, 8, 2, kScratchFloats);
  ASSERT_EQ(plan.Finish(ExecContext()), 1u);
  size_t units = 0;
  plan.ForTile(0, [&](const Strip& strip, size_t begin, size_t end) {
    EXPECT_EQ(strip.item, 1u);
    units += (end - begin) * (strip.row_end - strip.row_begin);
  });
  EXPECT_EQ(units, 2u * 5u);
}

// A tile of a 7B shape is meant to take about 0.1 ms by the kernels' own estimate.
TEST(TilePlanTest, LargeWorkIsCutSmall) {
  const Kernels& kernels = BestKernels();
  const PackedMatrix w = Shape("Q4_K", 11008, 4096);
  TilePlan plan;
  for (const bool super_blocks : {false, true}) {
    const double macs_per_us = super_blocks ? kernels.super_macs_per_us : kernels.macs_per_us;
    for (size_t rows : {1, 128, 512}) {
      plan.Clear();
      plan.AddItem(kernels, 0, w, 2, super_blocks, 0, rows, 2, kScratchFloats);
      plan.Finish(ExecContext());
      const double macs = 2.0 * 11008 * 4096 * static_cast<double>(rows);
      EXPECT_LE(macs / static_cast<double>(plan.tiles()) / macs_per_us, 150.0) << rows;
      EXPECT_LE(2.0 * static_cast<double>(w.packed_bytes()) / static_cast<double>(plan.tiles()),
                2.3e6)
          << rows;
    }
  }
}

TEST(RowTilesTest, CoverAllRows) {
  ThreadPool pool(2);
  ExecContext ctx;
  ctx.pool = &pool;
  for (size_t rows : {0, 1, 2, 5, 64, 513})
    for (double ns : {1.0, 1e3, 1e5, 1e7}) {
      const RowTiles tiles(ctx, rows, ns);
      EXPECT_GE(tiles.tiles * tiles.per_tile, rows);
      EXPECT_LE(tiles.tiles, rows);
      if (rows > 0) {
        EXPECT_LT((tiles.tiles - 1) * tiles.per_tile, rows);
      }
    }
}

}  // namespace
}  // namespace lull
