// Allocations of the engine's thread fail, one after the other: requests may end with an error, the
// engine serves on, and what it answers is right.
#include <gtest/gtest.h>

#include "tests/engine/world.h"
#include "tests/support/heap_meter.h"

namespace lull {
namespace {

using testing::SampledRequest;
using testing::World;

constexpr int kMostFailures = 3000;
constexpr int kRequests = 3;

struct Case {
  int prompt_tokens;
  int64_t new_tokens;
};
constexpr Case kCases[kRequests] = {{70, 5}, {90, 6}, {3, 4}};

// Fills without allocating: what fails is the engine's.
class Answer {
 public:
  EventFn Fn() {
    return [this](const Event& event) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (event.kind == Event::Kind::kToken) {
        tokens.push_back(event.token);
        chosen.push_back(event.chosen.logprob);
        return;
      }
      reason = event.reason;
      code = event.error.code;
      ++finishes;
      changed_.notify_all();
    };
  }
  bool WaitFinish() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(120), [this] { return finishes > 0; });
  }

  std::vector<int32_t> tokens = Reserved<int32_t>();
  std::vector<float> chosen = Reserved<float>();
  int finishes = 0;
  FinishReason reason = FinishReason::kError;
  ErrorCode code = ErrorCode::kOk;

 private:
  template <typename T>
  static std::vector<T> Reserved() {
    std::vector<T> empty;
    empty.reserve(64);
    return empty;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

Request RequestOf(int i) {
  return SampledRequest(i, kCases[i].prompt_tokens, kCases[i].new_tokens);
}

TEST(EngineMemory, AFailedAllocationEndsRequestsNotTheEngine) {
  RuntimeOptions options;
  options.threads = 2;
  World world(options);
  EngineOptions small;
  small.max_sequences = 2;
  small.kv_pool_tokens = 256;
  const auto engine = world.NewEngine(small);
  Answer want[kRequests];
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(engine->Submit(RequestOf(i), want[i].Fn()).ok());
    ASSERT_TRUE(want[i].WaitFinish());
    ASSERT_EQ(want[i].reason, FinishReason::kLength);
  }
  {
    Answer first;
    const EventFn inner = first.Fn();
    ASSERT_TRUE(engine
                    ->Submit(RequestOf(0),
                             [&inner](const Event& event) {
                               LetAllocationsFail();  // in the engine's thread
                               inner(event);
                             })
                    .ok());
    ASSERT_TRUE(first.WaitFinish());
  }
  int failed = 0, number = 0;
  for (bool clean = false; !clean && number < kMostFailures; ++number) {
    Answer answers[kRequests];
    FailAllocation(number);
    for (int i = 0; i < kRequests; ++i)
      ASSERT_TRUE(engine->Submit(RequestOf(i), answers[i].Fn()).ok());
    for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(answers[i].WaitFinish()) << number;
    clean = !AllocationHasFailed();
    FailAllocation(-1);
    for (int i = 0; i < kRequests; ++i) {
      EXPECT_EQ(answers[i].finishes, 1) << number;
      if (answers[i].reason == FinishReason::kError) {
        EXPECT_EQ(answers[i].code, ErrorCode::kOutOfMemory) << number;
        ++failed;
      } else {
        EXPECT_EQ(answers[i].tokens, want[i].tokens) << number;
        EXPECT_EQ(answers[i].chosen, want[i].chosen) << number;
      }
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(failed, 10);
  EXPECT_LT(number, kMostFailures);
  Answer after;
  ASSERT_TRUE(engine->Submit(RequestOf(1), after.Fn()).ok());
  ASSERT_TRUE(after.WaitFinish());
  EXPECT_EQ(after.tokens, want[1].tokens);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.kv.pages_used, 0);
  EXPECT_EQ(stats.requests_finished, stats.requests_submitted);
}

}  // namespace
}  // namespace lull
