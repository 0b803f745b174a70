#include "bench/window_shares.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;

// Ticks of 10 ms; each burns cpu_ms[i] of CPU time.
std::vector<os::CpuSample> Samples(const std::vector<double>& cpu_ms) {
  std::vector<os::CpuSample> samples = {{1000 * kMs, 5 * kMs}};
  for (const double ms : cpu_ms) {
    samples.push_back({samples.back().monotonic_ns + 10 * kMs,
                       samples.back().cpu_ns + static_cast<int64_t>(ms * kMs)});
  }
  return samples;
}

TEST(WindowShares, SteadyUse) {
  const auto samples = Samples(std::vector<double>(100, 7.0));  // 0.7 CPUs
  EXPECT_DOUBLE_EQ(*MeanShare(samples, 0, INT64_MAX, 2), 0.35);
  const auto shares = WindowShares(samples, 0, INT64_MAX, 100 * kMs, 2);
  EXPECT_EQ(shares.size(), 91u);
  for (const double share : shares) EXPECT_DOUBLE_EQ(share, 0.35);
}

TEST(WindowShares, FindTheBurst) {
  std::vector<double> use(100, 0.0);
  for (int i = 40; i < 50; ++i) use[i] = 20.0;
  const auto shares = WindowShares(Samples(use), 0, INT64_MAX, 100 * kMs, 2);
  EXPECT_DOUBLE_EQ(*std::max_element(shares.begin(), shares.end()), 1.0);
  EXPECT_EQ(std::count(shares.begin(), shares.end(), 1.0), 1);
  EXPECT_EQ(std::count_if(shares.begin(), shares.end(), [](double s) { return s > 0; }), 19);
}

TEST(WindowShares, OnlyInsideTheInterval) {
  std::vector<double> use(100, 5.0);
  std::fill(use.begin(), use.begin() + 30, 20.0);
  const auto samples = Samples(use);
  const int64_t begin = samples[30].monotonic_ns, end = samples[60].monotonic_ns;
  EXPECT_DOUBLE_EQ(*MeanShare(samples, begin, end, 1), 0.5);
  const auto shares = WindowShares(samples, begin, end, 100 * kMs, 1);
  EXPECT_EQ(shares.size(), 21u);
  for (const double share : shares) EXPECT_DOUBLE_EQ(share, 0.5);
}

TEST(WindowShares, JitterKeepsTheTrueWidthAndMissedTicksDropOut) {
  auto samples = Samples(std::vector<double>(100, 7.0));
  samples[50].monotonic_ns += kMs;     // read 1 ms late ...
  samples[50].cpu_ns += 7 * kMs / 10;  // ... with what was used meanwhile
  for (const double share : WindowShares(samples, 0, INT64_MAX, 100 * kMs, 2))
    EXPECT_NEAR(share, 0.35, 1e-9);
  samples = Samples(std::vector<double>(100, 7.0));
  samples.erase(samples.begin() + 40, samples.begin() + 60);  // 200 ms without a tick
  const auto shares = WindowShares(samples, 0, INT64_MAX, 100 * kMs, 2);
  for (const double share : shares) EXPECT_NEAR(share, 0.35, 1e-9);
  EXPECT_EQ(shares.size(), 30u + 31u);
}

TEST(WindowShares, TooFewSamplesGiveNothing) {
  const auto samples = Samples({1.0, 1.0});
  EXPECT_FALSE(MeanShare({}, 0, INT64_MAX, 2).has_value());
  EXPECT_FALSE(MeanShare(samples, 0, 1000 * kMs, 2).has_value());
  EXPECT_TRUE(WindowShares(samples, 0, INT64_MAX, 100 * kMs, 2).empty());
  EXPECT_TRUE(WindowShares({}, 0, INT64_MAX, 100 * kMs, 2).empty());
}

}  // namespace
}  // namespace lull
