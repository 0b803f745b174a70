// What is refused before anything is loaded, and what the refusal says.
#include "budget/check_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "budget/memory_book.h"

namespace lull {
namespace {

constexpr int64_t kMB = 1'000'000;

bool Says(const Status& status, const std::string& part) {
  return status.ToString().find(part) != std::string::npos;
}

// 100 M multiply-accumulates and 90 MB a token; 10 ms at 10 G/s, 9 ms at 10 GB/s.
constexpr TokenCost kCost{90 * kMB, 100 * kMB};
constexpr CpuRoof kRoof{10e9, 10e9};

TEST(CheckLatency, WhatIsPossibleOrUndeclaredPasses) {
  EXPECT_TRUE(CheckLatency({}, kCost, kRoof, 2).ok());
  EXPECT_TRUE(CheckLatency({.p95_latency_s = 2.5}, kCost, kRoof, 2).ok());
  EXPECT_TRUE(CheckLatency({.cpu = {0.35, 0.5}, .p95_latency_s = 0.015}, kCost, kRoof, 2).ok());
  EXPECT_TRUE(CheckLatency({.mem_bw_bytes_per_s = 1.0}, kCost, kRoof, 2).ok());
}

TEST(CheckLatency, TheCpuRateIsTooLow) {
  const Status status = CheckLatency({.cpu = {0.35, 0.5}, .p95_latency_s = 0.010}, kCost, kRoof, 2);
  EXPECT_EQ(status.code(), ErrorCode::kBudgetImpossible);
  EXPECT_EQ(status.error().where, "p95");
  EXPECT_TRUE(Says(status, "100 million multiply-accumulates")) << status.ToString();
  EXPECT_TRUE(Says(status, "10 ms of CPU time")) << status.ToString();
  EXPECT_TRUE(Says(status, "0.7 CPUs 14.3 ms")) << status.ToString();
  EXPECT_TRUE(Says(status, "a p95 of 15ms, or a CPU mean of 50%")) << status.ToString();
}

TEST(CheckLatency, WhatTheHintNamesIsPossible) {
  for (const double share : {0.01, 0.07, 0.35, 0.9})
    for (const double p95 : {0.0001, 0.001, 0.004}) {
      Budget budget{.cpu = {share, 0.0}, .p95_latency_s = p95};
      const Status status = CheckLatency(budget, kCost, kRoof, 2);
      ASSERT_FALSE(status.ok());
      const std::string& hint = status.error().hint;
      const size_t at = hint.find("p95 of ") + 7;
      const auto possible = ParseDuration(hint.substr(at, hint.find("ms", at) + 2 - at));
      ASSERT_TRUE(possible.ok()) << hint;
      budget.p95_latency_s = *possible;
      EXPECT_TRUE(CheckLatency(budget, kCost, kRoof, 2).ok()) << hint;
    }
}

TEST(CheckLatency, TheBusIsTooSlow) {
  const Budget budget{.mem_bw_bytes_per_s = 8e6, .p95_latency_s = 2.5};
  const Status status = CheckLatency(budget, kCost, kRoof, 2);
  EXPECT_EQ(status.code(), ErrorCode::kBudgetImpossible);
  EXPECT_EQ(status.error().where, "mem_bw");
  EXPECT_TRUE(Says(status, "36MB/s, or a p95 of 12000ms")) << status.ToString();
}

TEST(MemoryBook, PromisesAddUpAndEnd) {
  MemoryBook book(100 * kMB);
  auto weights = book.Promise(MemoryPart::kPacked, 60 * kMB);
  ASSERT_TRUE(weights.ok());
  {
    auto kv = book.Promise(MemoryPart::kKv, 40 * kMB);
    ASSERT_TRUE(kv.ok());
    EXPECT_EQ(book.left(), 0);
    MemoryPromise moved = std::move(*kv);
    EXPECT_EQ(book.ledger().kv, 40 * kMB);
    EXPECT_EQ(book.ledger().planned_bytes, 100 * kMB);
  }
  EXPECT_EQ(book.left(), 40 * kMB);
  *weights = MemoryPromise();
  EXPECT_EQ(book.ledger().planned_bytes, 0);
  EXPECT_EQ(book.ledger().limit_bytes, 100 * kMB);
}

TEST(MemoryBook, ARefusalShowsTheSumAndWhatWouldDo) {
  MemoryBook book(128 * kMB);
  const auto other = book.Promise(MemoryPart::kOther, 24 * kMB);
  const auto refused = book.Promise(MemoryPart::kPacked, 95'300'000, 16'500'000);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBudgetImpossible);
  EXPECT_EQ(refused.error().where, "ram");
  EXPECT_EQ(refused.error().message,
            "weights 95.3 MB + code and vocabulary 24.0 MB + the least KV 16.5 MB = "
            "135.8 MB, but the RAM is 128.0 MB");
  EXPECT_EQ(refused.error().hint, "136MB would do");
  EXPECT_EQ(book.ledger().packed, 0);  // what is refused is not promised
  EXPECT_TRUE(book.SetLimit(136 * kMB).ok());
  EXPECT_TRUE(book.Promise(MemoryPart::kPacked, 95'300'000, 16'500'000).ok());
}

TEST(MemoryBook, ALimitIsNotLoweredBelowThePromises) {
  MemoryBook book(0);
  EXPECT_EQ(book.left(), MemoryBook::kUnlimited);
  const auto kv = book.Promise(MemoryPart::kKv, 50 * kMB);
  const Status lowered = book.SetLimit(49 * kMB);
  EXPECT_EQ(lowered.code(), ErrorCode::kBudgetImpossible);
  EXPECT_TRUE(Says(lowered, "50MB is the least")) << lowered.ToString();
  EXPECT_EQ(book.ledger().limit_bytes, 0);
  EXPECT_TRUE(book.SetLimit(50 * kMB).ok());
  EXPECT_TRUE(book.SetLimit(0).ok());
}

TEST(MemoryBook, ManyThreadsNeverExceedTheLimit) {
  MemoryBook book(100);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&book] {
      for (int i = 0; i < 2000; ++i) {
        const auto promise = book.Promise(MemoryPart::kKv, 30);
        EXPECT_LE(book.ledger().planned_bytes, 100);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(book.ledger().planned_bytes, 0);
}

}  // namespace
}  // namespace lull
