#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <thread>
#include <vector>

#include "tests/support/no_threads.h"

namespace lull {
namespace {

class TestPacer : public Pacer {
 public:
  explicit TestPacer(bool capped) : capped_(capped) {}
  void Checkpoint() override { checkpoints.fetch_add(1, std::memory_order_relaxed); }
  bool capped() const override { return capped_; }
  std::atomic<int64_t> checkpoints{0};

 private:
  const bool capped_;
};

TEST(ThreadPoolTest, EveryTileRunsOnceInEveryJob) {
  for (int threads : {1, 2, 3, 8})
    for (bool capped : {false, true}) {
      ThreadPool pool(threads);
      TestPacer pacer(capped);
      ExecContext ctx;
      ctx.pool = &pool;
      ctx.pacer = &pacer;
      int64_t total = 0;
      for (int job = 0; job < 2000; ++job) {
        const size_t tiles = static_cast<size_t>(job % 23);
        std::vector<int> counts(
            tiles);  // plain: a tile belongs to one thread, the barrier publishes it
        ParallelFor(ctx, tiles, [&](size_t tile, int thread) {
          ASSERT_LT(thread, threads);
          ++counts[tile];
        });
        for (int count : counts) ASSERT_EQ(count, 1);
        total += static_cast<int64_t>(tiles);
      }
      EXPECT_EQ(pacer.checkpoints, total);
    }
}

// A thread that the system does not let run must not hold up a job: while one thread sits in a
// tile, the other tiles, those of its own range too, are computed.
TEST(ThreadPoolTest, TilesOfAStuckThreadAreTaken) {
  ThreadPool pool(2);
  ExecContext ctx;
  ctx.pool = &pool;
  std::atomic<int> done{0};
  constexpr int kTiles = 16;
  ParallelFor(ctx, kTiles, [&](size_t tile, int) {
    if (tile == 0)
      while (done.load() < kTiles - 1) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, kTiles);
}

TEST(ThreadPoolTest, ATilesExceptionArrivesWhenTheOthersAreDone) {
  for (const int threads : {1, 2, 4})
    for (const size_t bad : {size_t{0}, size_t{7}, size_t{63}}) {
      ThreadPool pool(threads);
      ExecContext ctx;
      ctx.pool = &pool;
      std::atomic<int> done{0};
      EXPECT_THROW(ParallelFor(ctx, 64,
                               [&](size_t tile, int) {
                                 if (tile % 64 == bad) throw std::bad_alloc();
                                 ++done;
                               }),
                   std::bad_alloc);
      if (threads > 1) {
        EXPECT_EQ(done, 63);
      }
      done = 0;
      ParallelFor(ctx, 64, [&](size_t, int) { ++done; });
      EXPECT_EQ(done, 64);
    }
}

TEST(ThreadPoolTest, WorksAloneWhereThreadsAreRefused) {
  const NoThreads refused;
  ThreadPool pool(4);
  ASSERT_FALSE(pool.start_status().ok());
  EXPECT_EQ(pool.start_status().code(), ErrorCode::kOutOfMemory);
  EXPECT_EQ(pool.start_status().error().where, "compute thread 1");
  EXPECT_EQ(pool.threads(), 1);
  ExecContext ctx;
  ctx.pool = &pool;
  int done = 0;
  ParallelFor(ctx, 9, [&](size_t, int) { ++done; });
  EXPECT_EQ(done, 9);
}

TEST(ThreadPoolTest, PoolsComeAndGoWhileWorkersWait) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4);
    ExecContext ctx;
    ctx.pool = &pool;
    std::atomic<int> sum{0};
    if (i % 2) ParallelFor(ctx, 5, [&](size_t tile, int) { sum += static_cast<int>(tile); });
    EXPECT_EQ(sum, i % 2 ? 10 : 0);
  }
}

}  // namespace
}  // namespace lull
