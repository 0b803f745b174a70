#include "evidence/quantiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace lull {
namespace {

std::vector<double> OneTo(int n) {
  std::vector<double> values;
  for (int i = 1; i <= n; ++i) values.push_back(i);
  return values;
}

TEST(Quantiles, NearestRank) {
  EXPECT_EQ(EstimateQuantile(OneTo(100), 0.50)->value, 50);
  EXPECT_EQ(EstimateQuantile(OneTo(100), 0.95)->value, 95);
  EXPECT_EQ(EstimateQuantile(OneTo(100), 0.99)->value, 99);
  EXPECT_EQ(EstimateQuantile(OneTo(101), 0.99)->value, 100);
  EXPECT_EQ(EstimateQuantile(OneTo(1000), 0.99)->value, 990);
  EXPECT_EQ(EstimateQuantile(OneTo(3), 0.50)->value, 2);
}

TEST(Quantiles, WithheldUnderTheNeededSamples) {
  EXPECT_EQ(SamplesNeeded(0.99), 100u);
  EXPECT_EQ(SamplesNeeded(0.95), 20u);
  EXPECT_EQ(SamplesNeeded(0.50), 2u);
  EXPECT_EQ(SamplesNeeded(0.999), 1000u);
  EXPECT_FALSE(EstimateQuantile(OneTo(99), 0.99).has_value());
  EXPECT_TRUE(EstimateQuantile(OneTo(100), 0.99).has_value());
  EXPECT_FALSE(EstimateQuantile(OneTo(19), 0.95).has_value());
  EXPECT_FALSE(EstimateQuantile({}, 0.50).has_value());
  EXPECT_FALSE(EstimateQuantile(OneTo(1000), 1.0).has_value());
  EXPECT_FALSE(EstimateQuantile(OneTo(1000), std::nan("")).has_value());
}

// Textbook ranks: the 95 % interval of the median of 100 is [X(40), X(61)], of 20 [X(6), X(15)].
TEST(Quantiles, IntervalRanksOfTheMedian) {
  const auto hundred = EstimateQuantile(OneTo(100), 0.5);
  EXPECT_EQ(hundred->low, 40);
  EXPECT_EQ(hundred->high, 61);
  const auto twenty = EstimateQuantile(OneTo(20), 0.5);
  EXPECT_EQ(twenty->low, 6);
  EXPECT_EQ(twenty->high, 15);
}

TEST(Quantiles, TooFewSamplesLeaveTheUpperSideOpen) {
  EXPECT_FALSE(EstimateQuantile(OneTo(100), 0.99)->high.has_value());
  EXPECT_TRUE(EstimateQuantile(OneTo(100), 0.99)->low.has_value());
  EXPECT_TRUE(EstimateQuantile(OneTo(1000), 0.99)->high.has_value());
}

TEST(Quantiles, IntervalCoversAtLeastAsOftenAsItSays) {
  std::mt19937_64 rng(11);
  std::exponential_distribution<double> draw(1.0);
  const double truth = -std::log(0.05);  // p95 of the exponential distribution
  int covered = 0;
  constexpr int kTrials = 2000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> samples(200);
    for (double& sample : samples) sample = draw(rng);
    const auto estimate = EstimateQuantile(Sorted(samples), 0.95);
    covered += *estimate->low <= truth && truth <= *estimate->high;
  }
  EXPECT_GE(covered, 0.94 * kTrials);
  EXPECT_LE(covered, 0.995 * kTrials);  // not vacuously wide
}

// Windows that slide by a tenth of their width say ten times the same: the interval stays as wide
// as that of the tenth, and p99 waits for a hundred that do not overlap.
TEST(Quantiles, OverlappingSamplesCountOnce) {
  std::vector<double> sliding;
  for (int i = 1; i <= 1000; ++i) sliding.push_back((i + 9) / 10);
  const auto all = EstimateQuantileOfOverlapping(sliding, 0.5, 100);
  const auto apart = EstimateQuantile(OneTo(100), 0.5);
  EXPECT_EQ(all->value, apart->value);
  EXPECT_EQ(all->low, apart->low);
  EXPECT_EQ(all->high, apart->high);
  EXPECT_EQ(all->samples, 1000u);
  EXPECT_FALSE(EstimateQuantileOfOverlapping(sliding, 0.99, 99).has_value());
  EXPECT_TRUE(EstimateQuantileOfOverlapping(sliding, 0.99, 100).has_value());
  EXPECT_FALSE(EstimateQuantileOfOverlapping({}, 0.5, 100).has_value());
}

TEST(Quantiles, SortedDropsNotANumber) {
  const double values[] = {3.0, std::nan(""), 1.0};
  EXPECT_EQ(Sorted(values), (std::vector<double>{1.0, 3.0}));
}

}  // namespace
}  // namespace lull
