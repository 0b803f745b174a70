#include "lull/budget.h"

#include <gtest/gtest.h>

#include "budget/cpu_governor.h"

namespace lull {
namespace {

TEST(ParseCpuShare, ReadsPercentagesAndFractions) {
  EXPECT_DOUBLE_EQ(*ParseCpuShare("35%"), 0.35);
  EXPECT_DOUBLE_EQ(*ParseCpuShare("0.35"), 0.35);
  EXPECT_DOUBLE_EQ(*ParseCpuShare("2.5%"), 0.025);
  EXPECT_DOUBLE_EQ(*ParseCpuShare("100%"), 1.0);
  EXPECT_DOUBLE_EQ(*ParseCpuShare("1"), 1.0);
  EXPECT_DOUBLE_EQ(*ParseCpuShare(""), 0.0);
}

TEST(ParseCpuShare, RefusesTheRestByName) {
  for (const char* text : {"0", "0%", "-5%", "101%", "35", "abc", "%", "3 5%", "35%%", "nan",
                           "inf%", "1e400", "35 %", " 35%", "0x10"}) {
    const Result<double> share = ParseCpuShare(text);
    ASSERT_FALSE(share.ok()) << text;
    EXPECT_EQ(share.error().code, ErrorCode::kUsage) << text;
    EXPECT_FALSE(share.error().hint.empty()) << text;
  }
  EXPECT_NE(ParseCpuShare("35").error().hint.find("35%"), std::string::npos);
}

TEST(CheckCpuBudget, AcceptsWhatTheGovernorCanHold) {
  EXPECT_TRUE(CheckCpuBudget({}, 2).ok());
  EXPECT_TRUE(CheckCpuBudget({0.35, 0.50}, 2).ok());
  EXPECT_TRUE(CheckCpuBudget({0.35, 0.40}, 2).ok());
  EXPECT_TRUE(CheckCpuBudget({0.35, 0.0}, 2).ok());
  EXPECT_TRUE(CheckCpuBudget({0.10, 0.0}, 64).ok());
  EXPECT_TRUE(CheckCpuBudget({1.0, 0.0}, 2).ok());
  EXPECT_TRUE(CheckCpuBudget({1.0, 1.0}, 1).ok());
}

TEST(CheckCpuBudget, ShowsTheArithmeticOfTheImpossible) {
  const Status status = CheckCpuBudget({0.35, 0.352}, 2);
  ASSERT_EQ(status.code(), ErrorCode::kBudgetImpossible);
  const std::string& message = status.error().message;
  for (const char* part :
       {"35 %", "35.2 %", "2 CPUs", "0.40 ms", "0.50 ms burst", "0.30 ms", "1.10 ms"})
    EXPECT_NE(message.find(part), std::string::npos) << part << " not in: " << message;
  EXPECT_NE(status.error().hint.find("35.6 %"), std::string::npos) << status.error().hint;
  // What the hint proposes is indeed possible.
  EXPECT_TRUE(CheckCpuBudget({0.35, 0.356}, 2).ok());
  EXPECT_EQ(CheckCpuBudget({0.50, 0.35}, 2).code(), ErrorCode::kBudgetImpossible);
  EXPECT_EQ(CheckCpuBudget({0.999, 0.0}, 1).code(), ErrorCode::kBudgetImpossible);
}

TEST(CheckCpuBudget, RefusesNonsenseAsUsage) {
  EXPECT_EQ(CheckCpuBudget({-0.1, 0.0}, 2).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckCpuBudget({1.5, 0.0}, 2).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckCpuBudget({0.0, 0.5}, 2).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckCpuBudget({0.3, 0.5}, 0).code(), ErrorCode::kUsage);
}

TEST(LimitsOf, FitTheSlackWheneverTheCheckPasses) {
  for (const int cpus : {1, 2, 8, 64}) {
    for (int mean = 1; mean < 100; ++mean) {
      for (int p99 = mean; p99 <= 100; ++p99) {
        const CpuBudget budget{mean * 0.01, p99 * 0.01};
        if (!CheckCpuBudget(budget, cpus).ok()) continue;
        const GovernorLimits limits = LimitsOf(budget, cpus);
        ASSERT_LE(limits.burst_ns + cpus * limits.quantum_ns, limits.slack_ns);
        ASSERT_GT(limits.burst_ns, 0);
        ASSERT_LT(limits.slice_ns, limits.burst_ns);
      }
    }
  }
}

}  // namespace
}  // namespace lull
