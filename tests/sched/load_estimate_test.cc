#include "sched/load_estimate.h"

#include <gtest/gtest.h>

#include <random>

namespace lull {
namespace {

TEST(StepTimes, FindsTheLine) {
  StepTimes times;
  EXPECT_FALSE(times.known());
  std::mt19937 rng(1);
  for (int i = 0; i < 400; ++i) {
    const int64_t rows = 1 + static_cast<int64_t>(rng() % 128);
    const double noise = static_cast<double>(rng() % 100) * 1e-6;
    times.Add(rows, 0.004 + 0.0005 * static_cast<double>(rows) + noise);
  }
  EXPECT_TRUE(times.known());
  EXPECT_NEAR(times.base_s(), 0.004, 0.0003);
  EXPECT_NEAR(times.row_s(), 0.0005, 0.00002);
}

TEST(StepTimes, FollowsAChange) {
  StepTimes times;
  for (int i = 0; i < 1000; ++i) times.Add(1 + i % 8, 0.01 + 0.001 * (1 + i % 8));
  for (int i = 0; i < 1000; ++i) times.Add(1 + i % 8, 0.03 + 0.003 * (1 + i % 8));
  EXPECT_NEAR(times.base_s(), 0.03, 0.002);
  EXPECT_NEAR(times.row_s(), 0.003, 0.0003);
}

TEST(StepTimes, NeverNegativeAndNeverNothing) {
  StepTimes same, falling;
  EXPECT_EQ(same.base_s(), 0.0);
  EXPECT_EQ(same.row_s(), 0.0);
  for (int i = 0; i < 10; ++i) same.Add(4, 0.02);
  EXPECT_NEAR(same.base_s() + 4 * same.row_s(), 0.02, 1e-9);
  for (int i = 1; i < 10; ++i) falling.Add(i, 0.1 / i);
  EXPECT_GE(falling.base_s(), 0.0);
  EXPECT_GE(falling.row_s(), 0.0);
  EXPECT_GT(falling.base_s() + falling.row_s(), 0.0);
}

LoadEstimate Measured() {
  LoadEstimate load;
  load.known = true;
  load.base_s = 0.004;
  load.row_s = 0.001;
  load.chunk_tokens = 100;
  load.slots = 4;
  load.answer_tokens = 20.0;
  return load;
}

TEST(LoadEstimate, AnIdleEngineTakesThePromptAndTheSteps) {
  const LoadEstimate load = Measured();
  // 3 chunks of 300 rows, then 9 steps of one row.
  EXPECT_NEAR(load.AnswerSeconds({}, 300, 10), 3 * 0.004 + 0.3 + 9 * 0.005, 1e-9);
}

TEST(LoadEstimate, WaitsForAnswersOnlyWhereNoSlotIsFree) {
  LoadEstimate load = Measured();
  const Backlog before = {2, 200, 40};
  load.running = 1;
  const double beside = load.AnswerSeconds(before, 100, 1);
  load.running = 4;
  EXPECT_NEAR(load.AnswerSeconds(before, 100, 1) - beside, 40 * 0.001 + 20 * 0.004, 1e-9);
}

TEST(LoadEstimate, ExpectsAnswersOfTheUsualLength) {
  const LoadEstimate load = Measured();
  EXPECT_EQ(load.ExpectedNewTokens(128, false), 20);
  EXPECT_EQ(load.ExpectedNewTokens(128, true), 128);
  EXPECT_EQ(load.ExpectedNewTokens(5, false), 5);
  EXPECT_EQ(LoadEstimate().ExpectedNewTokens(128, false), 1);
}

}  // namespace
}  // namespace lull
