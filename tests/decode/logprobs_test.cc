#include "decode/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "lull/decoder.h"

namespace lull {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Logprobs, EqualLogSoftmax) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0.0f, 5.0f);
  for (size_t n : {1u, 7u, 1000u, 50000u}) {
    std::vector<float> x(n);
    for (float& v : x) v = normal(rng);
    long double sum = 0;
    for (float v : x) sum += std::exp(static_cast<long double>(v));
    const double lse = static_cast<double>(std::log(sum));
    EXPECT_NEAR(LogSumExp({}, x), lse, 1e-10);
    const Logprobs got = ComputeLogprobs({}, x, static_cast<int32_t>(n / 2), 5);
    EXPECT_NEAR(got.chosen.logprob, x[n / 2] - lse, 1e-5);
    ASSERT_EQ(got.top.size(), std::min<size_t>(n, 5));
    for (size_t i = 0; i < got.top.size(); ++i) {
      EXPECT_NEAR(got.top[i].logprob, x[static_cast<size_t>(got.top[i].id)] - lse, 1e-5);
      if (i > 0) {
        EXPECT_GE(got.top[i - 1].logprob, got.top[i].logprob);
      }
    }
    EXPECT_NEAR(LogprobOf(x, 0), x[0] - lse, 1e-10);
  }
}

TEST(Logprobs, TiesGoToTheLowestId) {
  const std::vector<TokenLogprob> top = TopLogprobs(std::vector<float>{0, 1, 1, 1, 0}, 2);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_EQ(top[1].id, 2);
}

TEST(Logprobs, SpecialValues) {
  const float nan = std::nanf("");
  const std::vector<float> x{nan, 0.0f, -kInf, 0.0f};
  EXPECT_NEAR(LogprobOf(x, 1), -std::log(2.0), 1e-15);
  EXPECT_EQ(LogprobOf(x, 0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(LogprobOf(x, 2), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(LogprobOf(x, 9), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(LogprobOf(std::vector<float>{nan}, 0), -std::numeric_limits<double>::infinity());
  EXPECT_NEAR(LogprobOf(std::vector<float>{kInf, 1, kInf}, 2), -std::log(2.0), 1e-15);
  EXPECT_TRUE(TopLogprobs(std::vector<float>{nan, nan}, 3).empty());
  EXPECT_TRUE(TopLogprobs(x, -1).empty());
}

}  // namespace
}  // namespace lull
