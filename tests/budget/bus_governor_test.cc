// The bus governor, and both buckets together, on a simulated clock.
#include "budget/bus_governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "budget/budget_governor.h"
#include "budget/usage_meter.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kUs = 1'000;
constexpr double kGB = 1e9;

class SimClock : public GovernorClock {
 public:
  int64_t MonotonicNs() override { return now; }
  int64_t ProcessCpuNs() override { return cpu; }
  void SleepUntilNs(int64_t until) override {
    longest_sleep = std::max(longest_sleep, until - now);
    now = std::max(now, until + late);
  }
  int64_t now = 1'000'000 * kMs;
  int64_t cpu = 0;
  int64_t late = 0;
  int64_t longest_sleep = 0;
};

struct Move {
  int64_t at, bytes;
};

int64_t MostIn(const std::vector<Move>& moves, int64_t width) {
  int64_t most = 0, inside = 0;
  size_t first = 0;
  for (const Move& move : moves) {
    inside += move.bytes;
    while (moves[first].at <= move.at - width) inside -= moves[first++].bytes;
    most = std::max(most, inside);
  }
  return most;
}

// One thread that reads `tile` bytes in tile_ns of CPU time, for a second.
std::vector<Move> RunFor(BudgetGovernor& governor, SimClock& clock, int64_t seconds,
                         const std::function<Move()>& tile) {
  std::vector<Move> moves;
  const int64_t end = clock.now + seconds * 1000 * kMs;
  while (clock.now < end) {
    const Move next = tile();
    clock.now += next.at;
    clock.cpu += next.at;
    governor.AddBytes(static_cast<size_t>(next.bytes));
    moves.push_back({clock.now, next.bytes});
    governor.Checkpoint();
  }
  return moves;
}

int64_t Sum(const std::vector<Move>& moves) {
  int64_t sum = 0;
  for (const Move& move : moves) sum += move.bytes;
  return sum;
}

TEST(BusGovernor, HoldsTheRateInEveryWindow) {
  for (int seed = 0; seed < 200; ++seed) {
    std::mt19937_64 rng(seed);
    const double rate = std::uniform_real_distribution(0.5, 16.0)(rng) * kGB;
    const int64_t most_tile = std::uniform_int_distribution<int64_t>(1'000, 3'000'000)(rng);
    SimClock clock;
    clock.late = std::uniform_int_distribution<int64_t>(0, 200 * kUs)(rng);
    BudgetGovernor governor({.mem_bw_bytes_per_s = rate}, 2, nullptr, clock);
    const std::vector<Move> moves = RunFor(governor, clock, 1, [&] {
      return Move{std::uniform_int_distribution<int64_t>(kUs, 200 * kUs)(rng),
                  std::uniform_int_distribution<int64_t>(0, most_tile)(rng)};
    });
    for (const int64_t width : {20 * kMs, 50 * kMs, 100 * kMs, 1000 * kMs})
      EXPECT_LE(static_cast<double>(MostIn(moves, width)),
                rate * (static_cast<double>(width) * 1e-9 + 1e-3) + static_cast<double>(most_tile))
          << "seed " << seed << ", window " << width / kMs << " ms";
  }
}

TEST(BusGovernor, WorkThatWaitsGetsTheRateInShortPauses) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 8 * kGB}, 2, nullptr, clock);
  const int64_t start = clock.now;
  const auto moves = RunFor(governor, clock, 2, [] { return Move{100 * kUs, 2'000'000}; });
  const double got = static_cast<double>(Sum(moves)) / static_cast<double>(clock.now - start);
  EXPECT_NEAR(got, 8.0, 0.08);
  EXPECT_LE(clock.longest_sleep, 2 * kMs);
  EXPECT_GT(governor.PausedNs(), 1000 * kMs);
}

TEST(BusGovernor, SlowReadersAreNotHeld) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 8 * kGB}, 2, nullptr, clock);
  RunFor(governor, clock, 1, [] { return Move{100 * kUs, 700'000}; });
  EXPECT_EQ(governor.PausedNs(), 0);
}

TEST(BusGovernor, IdleTimeEarnsNoMoreThanTheBurst) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 1 * kGB}, 2, nullptr, clock);
  clock.now += 60'000 * kMs;
  const auto moves = RunFor(governor, clock, 1, [] { return Move{10 * kUs, 1'000'000}; });
  EXPECT_LE(MostIn(moves, 100 * kMs), 100'000'000 + 1'000'000 + 1'000'000);
}

TEST(BusGovernor, ALoweredRateHoldsAtOnceAndARaisedOneFreesSleepers) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 8 * kGB}, 2, nullptr, clock);
  const auto tile = [] { return Move{100 * kUs, 2'000'000}; };
  RunFor(governor, clock, 1, tile);
  governor.SetBudget({.mem_bw_bytes_per_s = 1 * kGB});
  const int64_t changed = clock.now;
  const auto moves = RunFor(governor, clock, 2, tile);
  std::vector<Move> later;
  for (const Move& move : moves)
    if (move.at > changed + 200 * kMs) later.push_back(move);
  EXPECT_LE(MostIn(later, 100 * kMs), 100'000'000 + 3'000'000);
  EXPECT_LE(clock.longest_sleep, 20 * kMs);
  governor.SetBudget({});
  EXPECT_FALSE(governor.capped());
  const int64_t slept = governor.PausedNs();
  RunFor(governor, clock, 1, tile);
  EXPECT_EQ(governor.PausedNs(), slept);
}

TEST(BusGovernor, ADebtIsRepaidAndAnAbsurdOneForgiven) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 1 * kGB}, 2, nullptr, clock);
  governor.AddBytes(500'000'000);
  int64_t before = clock.now;
  governor.Checkpoint();
  EXPECT_NEAR(static_cast<double>(clock.now - before), 500.0 * kMs, 2.0 * kMs);
  governor.AddBytes(size_t{1} << 60);
  before = clock.now;
  governor.Checkpoint();
  EXPECT_LE(clock.now - before, 10'001 * kMs);
}

TEST(BusGovernor, ARateBelowATileIsHeldToo) {
  SimClock clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 50'000}, 2, nullptr, clock);
  const int64_t start = clock.now;
  for (int i = 0; i < 20; ++i) {
    governor.AddBytes(1'500'000);
    governor.Checkpoint();
  }
  EXPECT_GE(clock.now - start, 20 * 29'900 * kMs);
}

TEST(BudgetGovernor, TheSlowerBucketDecides) {
  SimClock clock;
  BudgetGovernor governor({.cpu = {0.35, 0.50}, .mem_bw_bytes_per_s = 100 * kGB}, 2, nullptr,
                          clock);
  int64_t start = clock.now;
  RunFor(governor, clock, 1, [] { return Move{100 * kUs, 1'000'000}; });
  EXPECT_NEAR(static_cast<double>(clock.cpu) / static_cast<double>(clock.now - start), 0.7, 0.01);
  governor.SetBudget({.cpu = {0.35, 0.50}, .mem_bw_bytes_per_s = 1 * kGB});
  start = clock.now;
  const auto moves = RunFor(governor, clock, 1, [] { return Move{100 * kUs, 1'000'000}; });
  EXPECT_NEAR(static_cast<double>(Sum(moves)) / static_cast<double>(clock.now - start), 1.0, 0.02);
}

TEST(BudgetGovernor, BytesAreCountedWithoutACap) {
  BudgetGovernor governor({}, 2);
  const ExecContext ctx{nullptr, &governor, nullptr};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        ctx.AddBytes(3);
        ctx.Checkpoint();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(governor.bytes_moved(), 12'000);
  EXPECT_EQ(governor.PausedNs(), 0);
}

TEST(BudgetGovernor, ConcurrentReadersAndChangesLoseNoBytes) {
  class FastClock : public GovernorClock {
   public:
    int64_t MonotonicNs() override { return now.fetch_add(10 * kUs) + 10 * kUs; }
    int64_t ProcessCpuNs() override { return 0; }
    void SleepUntilNs(int64_t until) override {
      int64_t seen = now.load();
      while (seen < until && !now.compare_exchange_weak(seen, until)) {
      }
    }
    std::atomic<int64_t> now{kMs};
  } clock;
  BudgetGovernor governor({.mem_bw_bytes_per_s = 1 * kGB}, 2, nullptr, clock);
  const int64_t start = clock.now.load();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        governor.AddBytes(1'000'000);
        governor.Checkpoint();
        if (t == 0 && i % 100 == 50)
          governor.SetBudget({.mem_bw_bytes_per_s = i % 200 == 50 ? 0.5 * kGB : 1 * kGB});
      }
    });
  for (std::thread& thread : threads) thread.join();
  // 8 GB at 0.5 to 1 GB/s.
  EXPECT_GE(clock.now.load() - start, 7'900 * kMs);
}

TEST(UsageMeter, ComparesWithAboutASecondAgo) {
  UsageMeter meter({0, 0, 0});
  const auto at = [](int64_t ms) { return UsageReading{ms * kMs, ms * kUs, ms}; };
  EXPECT_EQ(meter.Since(at(60'000)).monotonic_ns, 0);  // nobody asked for a minute
  for (int64_t ms = 60'010; ms < 63'000; ms += 10) {
    const int64_t age = ms - meter.Since(at(ms)).monotonic_ns / kMs;
    EXPECT_GE(age, 10);
    if (ms >= 61'200) {
      EXPECT_GE(age, 1000);
      EXPECT_LE(age, 1200);
    }
  }
}

}  // namespace
}  // namespace lull
