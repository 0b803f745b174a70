#include "sched/step_loop.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <map>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>

#include "base/os/os.h"
#include "base/thread_pool.h"
#include "tests/support/fake_runner.h"

namespace lull {
namespace {

using testing::FakeRunner;
using testing::FakeTokenizer;

// Collects events from the loop's thread; waits from the test's.
class Inbox {
 public:
  EventFn For(int key) {
    return [this, key](const Event& event) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (event.kind == Event::Kind::kToken) {
        tokens_[key].push_back(event.token);
      } else {
        reasons_[key].push_back(event.reason);
      }
      changed_.notify_all();
    };
  }
  template <typename Predicate>
  bool Wait(Predicate&& predicate) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), predicate);
  }
  bool WaitFinishes(size_t n) {
    return Wait([&] { return reasons_.size() >= n; });
  }
  bool WaitTokens(int key, size_t n) {
    return Wait([&] { return tokens_[key].size() >= n; });
  }
  std::map<int, std::vector<int32_t>> tokens() {
    std::lock_guard<std::mutex> lock(mutex_);
    return tokens_;
  }
  std::map<int, std::vector<FinishReason>> reasons() {
    std::lock_guard<std::mutex> lock(mutex_);
    return reasons_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::vector<int32_t>> tokens_;
  std::map<int, std::vector<FinishReason>> reasons_;
};

struct World {
  explicit World(const StepLoopOptions& options = {}, FakeRunner::Options runner_options = {},
                 const ExecContext& ctx = {})
      : tokenizer(FakeTokenizer::Letters(runner_options.vocab_size)) {
    auto owned = std::make_unique<FakeRunner>(runner_options);
    runner = owned.get();
    loop = std::make_unique<StepLoop>(std::move(owned), tokenizer, ctx, options);
  }
  FakeTokenizer tokenizer;
  FakeRunner* runner;
  std::unique_ptr<StepLoop> loop;
};

Request Endless(int32_t first, int64_t n = 400) {
  Request request;
  request.prompt_tokens = {first};
  request.max_new_tokens = n;
  request.ignore_eog = true;
  return request;
}

TEST(StepLoop, AnswersAndIsIdleAfterwards) {
  Inbox inbox;
  World world;
  ASSERT_TRUE(world.loop->Submit(Endless(1, 20), inbox.For(1)).ok());
  ASSERT_TRUE(inbox.WaitFinishes(1));
  EXPECT_EQ(inbox.tokens()[1].size(), 20u);
  const EngineStats stats = world.loop->stats();
  EXPECT_EQ(stats.requests_finished, 1);
  EXPECT_EQ(stats.oldest_wait_ms, 0.0);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.new_tokens, 20);
  EXPECT_EQ(stats.kv.pages_used, 0);
  const int64_t cpu_before = os::ProcessCpuNs();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(os::ProcessCpuNs() - cpu_before, 20'000'000);  // blocked, not polling
}

TEST(StepLoop, SubmitChecksAtOnce) {
  Inbox inbox;
  World world;
  EXPECT_EQ(world.loop->Submit({}, inbox.For(1)).error().code, ErrorCode::kUsage);
  EXPECT_EQ(world.loop->Submit(Endless(1), nullptr).error().code, ErrorCode::kUsage);
  Request request;
  request.prompt_tokens.assign(512, 1);
  EXPECT_EQ(world.loop->Submit(request, inbox.For(1)).error().code, ErrorCode::kContextOverflow);
  EXPECT_EQ(world.loop->stats().requests_invalid, 3);
  world.loop->Cancel(12345);
}

// Holds the loop's thread until released: inside Forward where installed in a runner.
class Gate {
 public:
  void Install(FakeRunner* runner) {
    runner->on_forward = [this](const ExecContext& ctx, std::span<const BatchRow>) -> Status {
      Pass([&ctx] { return ctx.Cancelled(); });
      if (ctx.Cancelled()) return {ErrorCode::kCancelled, "cancelled"};
      return Status::Ok();
    };
  }
  template <typename GiveUp>
  void Pass(GiveUp&& give_up) {
    entered_.store(true);
    while (!open_.load() && !give_up()) std::this_thread::yield();
  }
  void AwaitEntered() {
    while (!entered_.load()) std::this_thread::yield();
  }
  void Open() { open_.store(true); }

 private:
  std::atomic<bool> entered_{false};
  std::atomic<bool> open_{false};
};

TEST(StepLoop, FullQueueIsBusy) {
  Inbox inbox;
  Gate gate;
  World world({.batcher = {.max_sequences = 1}, .max_queue = 2});
  gate.Install(world.runner);
  ASSERT_TRUE(world.loop->Submit(Endless(1, 3), inbox.For(0)).ok());
  gate.AwaitEntered();  // running, so the queue is empty
  ASSERT_TRUE(world.loop->Submit(Endless(2, 3), inbox.For(1)).ok());
  ASSERT_TRUE(world.loop->Submit(Endless(3, 3), inbox.For(2)).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GE(world.loop->stats().oldest_wait_ms, 5.0);
  const Result<RequestId> refused = world.loop->Submit(Endless(4, 3), inbox.For(3));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(world.loop->stats().waiting, 2);
  gate.Open();
  ASSERT_TRUE(inbox.WaitFinishes(3));
  EXPECT_EQ(inbox.reasons().count(3), 0u);
  EXPECT_TRUE(world.loop->Submit(Endless(4, 3), inbox.For(3)).ok());
  ASSERT_TRUE(inbox.WaitFinishes(4));
}

TEST(StepLoop, CancelEndsWithinOneStep) {
  Inbox inbox;
  World world;
  const Result<RequestId> id = world.loop->Submit(Endless(1, 500), inbox.For(1));
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(inbox.WaitTokens(1, 3));
  world.loop->Cancel(*id);
  ASSERT_TRUE(inbox.WaitFinishes(1));
  const FinishReason reason = inbox.reasons()[1][0];
  EXPECT_TRUE(reason == FinishReason::kCancelled || inbox.tokens()[1].size() == 500u);
}

TEST(StepLoop, DestructionEndsWhatRunsAndWaits) {
  Inbox inbox;
  Gate gate;
  World world({.batcher = {.max_sequences = 2}});
  gate.Install(world.runner);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(world.loop->Submit(Endless(i), inbox.For(i)).ok());
  gate.AwaitEntered();
  world.loop.reset();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(inbox.reasons()[i], std::vector<FinishReason>{FinishReason::kCancelled}) << i;
  }
}

// Stops whoever computes at his first checkpoint.
class GatePacer : public Pacer {
 public:
  void Checkpoint() override {
    gate.Pass([] { return false; });
  }
  bool capped() const override { return false; }
  Gate gate;
};

TEST(StepLoop, DestructionEndsWhatCameWhileAPromptWasTakenIn) {
  Inbox inbox;
  GatePacer pacer;
  Gate& gate = pacer.gate;
  World world({}, {}, {nullptr, &pacer, nullptr});
  Request first = Endless(1, 3);
  first.prompt_tokens.assign(400, 1);
  first.sampling.presence_penalty = 0.5;
  ASSERT_TRUE(world.loop->Submit(first, inbox.For(1)).ok());
  gate.AwaitEntered();  // the loop has taken the first out of its inbox
  ASSERT_TRUE(world.loop->Submit(Endless(2, 3), inbox.For(2)).ok());
  std::thread opener([&gate] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    gate.Open();
  });
  world.loop.reset();
  opener.join();
  EXPECT_EQ(inbox.reasons()[1].size(), 1u);
  EXPECT_EQ(inbox.reasons()[2].size(), 1u);
}

TEST(StepLoop, LastEventsMaySubmitInVain) {
  Gate gate;
  World world;
  gate.Install(world.runner);
  StepLoop& loop = *world.loop;
  int ended = 0;
  ErrorCode code = ErrorCode::kInternal;
  ASSERT_TRUE(loop.Submit(Endless(1),
                          [&](const Event&) {
                            ++ended;
                            const Result<RequestId> again =
                                loop.Submit(Endless(2), [&](const Event&) { ++ended; });
                            if (!again.ok()) code = again.error().code;
                          })
                  .ok());
  gate.AwaitEntered();
  world.loop.reset();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(code, ErrorCode::kBusy);
}

TEST(StepLoop, StopMayWaitForEver) {
  Inbox inbox;
  World world;
  ASSERT_TRUE(world.loop->Submit(Endless(1, 400), inbox.For(1)).ok());
  EXPECT_TRUE(world.loop->Stop(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(inbox.reasons()[1], std::vector<FinishReason>{FinishReason::kLength});
}

TEST(StepLoop, EventsMaySubmitCancelAndThrow) {
  Inbox inbox;
  World world;
  StepLoop& loop = *world.loop;
  ASSERT_TRUE(loop.Submit(Endless(1, 3),
                          [&](const Event& event) {
                            if (event.kind == Event::Kind::kToken) return;
                            EXPECT_TRUE(loop.Submit(Endless(2, 4), inbox.For(1)).ok());
                          })
                  .ok());
  std::atomic<int> ended{0};
  ASSERT_TRUE(loop.Submit(Endless(3, 400),
                          [&](const Event& event) {
                            if (event.kind == Event::Kind::kToken) throw 1;
                            EXPECT_EQ(event.reason, FinishReason::kCancelled);
                            ended = 1;
                          })
                  .ok());
  ASSERT_TRUE(inbox.WaitFinishes(1));
  while (ended == 0) std::this_thread::yield();
}

// Several threads submit and cancel; each request ends once, with the tokens it has alone.
TEST(StepLoop, ManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 150;
  std::map<int, std::vector<int32_t>> want;
  {
    Inbox inbox;
    World world;
    for (int first = 0; first < 32; ++first) {
      ASSERT_TRUE(world.loop->Submit(Endless(first, 40), inbox.For(first)).ok());
    }
    ASSERT_TRUE(inbox.WaitFinishes(32));
    want = inbox.tokens();
  }
  Inbox inbox;
  World world({.batcher = {.max_sequences = 16, .prefill_chunk_tokens = 8}, .max_queue = 10000});
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 rng(static_cast<uint32_t>(t));
      for (int i = 0; i < kEach; ++i) {
        const int key = t * kEach + i;
        const Result<RequestId> id = world.loop->Submit(Endless(key % 32, 40), inbox.For(key));
        ASSERT_TRUE(id.ok());
        if (rng() % 4 == 0) world.loop->Cancel(1 + rng() % *id);
        if (rng() % 16 == 0) world.loop->stats();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(inbox.WaitFinishes(kThreads * kEach));
  for (const auto& [key, reasons] : inbox.reasons()) {
    ASSERT_EQ(reasons.size(), 1u);
    std::vector<int32_t> tokens = inbox.tokens()[key];
    std::vector<int32_t> expected = want[key % 32];
    if (reasons[0] == FinishReason::kCancelled) {
      expected.resize(std::min(tokens.size(), expected.size()));
    }
    EXPECT_EQ(tokens, expected);
  }
  const EngineStats stats = world.loop->stats();
  EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, kThreads * kEach);
  EXPECT_EQ(stats.kv.pages_used, 0);
  EXPECT_EQ(world.runner->misuse(), "");
}

// Submitting, cancelling, asking, draining and stopping from many threads, until the loop goes away
// under them: who was accepted gets exactly one last event.
TEST(StepLoop, StopsUnderLoadFromEverySide) {
  for (uint32_t round = 0; round < 6; ++round) {
    Inbox inbox;
    std::atomic<int> accepted{0};
    ThreadPool pool(3);
    World world({.batcher = {.max_sequences = 4,
                             .prefill_chunk_tokens = 16,
                             .kv_pool_tokens = 512,
                             .answer_room_tokens = 16,
                             .prefix_cache = true},
                 .max_queue = 40},
                {.pool_pages = 8, .prefix_cache = true}, {&pool, nullptr, nullptr});
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 rng(round * 100 + t);
        for (int i = 0; i < 60; ++i) {
          Request request = Endless(static_cast<int32_t>(rng() % 32), 1 + rng() % 60);
          request.prompt_tokens.resize(1 + rng() % 150, 3);
          request.priority = static_cast<Priority>(rng() % 3);
          request.account = std::string(1, static_cast<char>('a' + rng() % 3));
          if (rng() % 3 == 0) request.deadline_ms = 1 + static_cast<int64_t>(rng() % 20);
          if (world.loop->Submit(request, inbox.For(static_cast<int>(t) * 1000 + i)).ok())
            ++accepted;
          if (rng() % 4 == 0) world.loop->Cancel(1 + rng() % 100);
          if (rng() % 8 == 0) world.loop->stats();
          if (t == 0 && i == 50) {
            if (round % 2 == 0) world.loop->Drain();
            world.loop->Stop(round % 3 * 5);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::string misuse = world.runner->misuse();
    world.loop.reset();
    EXPECT_EQ(misuse, "");
    EXPECT_EQ(inbox.reasons().size(), static_cast<size_t>(accepted));
    for (const auto& [key, reasons] : inbox.reasons()) EXPECT_EQ(reasons.size(), 1u) << key;
  }
}

// What was measured decides: steps of 10 ms, so 400 tokens take 4 s.
TEST(StepLoop, RefusesADeadlineThatCannotBeMet) {
  Inbox inbox;
  World world;
  world.runner->on_forward = [](const ExecContext&, std::span<const BatchRow>) {
    os::SleepUntilNs(os::MonotonicNs() + 10'000'000);
    return Status::Ok();
  };
  Request request = Endless(1, 400);
  request.deadline_ms = 1000;
  const auto early = world.loop->Submit(request, inbox.For(1));  // nothing to go by yet
  ASSERT_TRUE(early.ok());
  ASSERT_TRUE(inbox.WaitTokens(1, 10));
  world.loop->Cancel(*early);
  ASSERT_TRUE(inbox.WaitFinishes(1));
  const auto refused = world.loop->Submit(request, inbox.For(2));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(refused.error().where, "deadline_ms");
  EXPECT_GE(refused.error().retry_after_s, 2.0);
  EXPECT_EQ(world.loop->stats().requests_refused, 1);
  request.max_new_tokens = 3;
  EXPECT_TRUE(world.loop->Submit(request, inbox.For(3)).ok());
  EXPECT_TRUE(inbox.WaitFinishes(2));
}

TEST(StepLoop, AFullQueueSaysWhenToComeBack) {
  Inbox inbox;
  StepLoopOptions options;
  options.max_queue = 4;
  options.batcher.max_sequences = 1;
  World world(options);
  world.runner->on_forward = [](const ExecContext&, std::span<const BatchRow>) {
    os::SleepUntilNs(os::MonotonicNs() + 10'000'000);
    return Status::Ok();
  };
  ASSERT_TRUE(world.loop->Submit(Endless(1), inbox.For(1)).ok());
  ASSERT_TRUE(inbox.WaitTokens(1, 10));
  for (int i = 2; i <= 5; ++i) ASSERT_TRUE(world.loop->Submit(Endless(i), inbox.For(i)).ok());
  const auto refused = world.loop->Submit(Endless(6), inbox.For(6));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_GT(refused.error().retry_after_s, 4.0);  // half of 4 answers of 4 s each
  EXPECT_LT(refused.error().retry_after_s, 40.0);
}

// What a step throws ends those it served, whoever waits goes on, and so does the engine.
TEST(StepLoop, AnExceptionInAStepEndsItsRequestsAlone) {
  std::mutex mutex;
  std::map<int, Event> last;
  const auto event = [&](int key) {
    return [&, key](const Event& e) {
      std::lock_guard<std::mutex> lock(mutex);
      if (e.kind == Event::Kind::kFinish) last[key] = e;
    };
  };
  const auto has_ended = [&](int key) {
    std::lock_guard<std::mutex> lock(mutex);
    return last.count(key) > 0;
  };
  const auto wait = [&](int key) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!has_ended(key) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return has_ended(key);
  };
  World world({.batcher = {.max_sequences = 1}});
  std::atomic<int> pass{0};
  world.runner->on_forward = [&](const ExecContext&, std::span<const BatchRow>) -> Status {
    const int number = ++pass;
    if (number == 3) throw std::bad_alloc();
    if (number == 4) throw std::runtime_error("a broken part");
    return Status::Ok();
  };
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(world.loop->Submit(Endless(i, 20), event(i)).ok());
  ASSERT_TRUE(wait(1) && wait(2) && wait(3));
  std::lock_guard<std::mutex> lock(mutex);
  EXPECT_EQ(last[1].reason, FinishReason::kError);
  EXPECT_EQ(last[1].error.code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(last[1].error.message, "the memory ran out in a step of the engine");
  EXPECT_EQ(last[1].stats.new_tokens, 2);
  EXPECT_EQ(last[2].error.code, ErrorCode::kInternal);
  EXPECT_NE(last[2].error.message.find("a broken part"), std::string::npos);
  EXPECT_EQ(last[3].reason, FinishReason::kLength);
  EXPECT_EQ(last[3].stats.new_tokens, 20);
  EXPECT_EQ(world.runner->misuse(), "");
  EXPECT_EQ(world.loop->stats().requests_finished, 3);
  EXPECT_EQ(world.loop->stats().kv.pages_used, 0);
}

}  // namespace
}  // namespace lull
