// A year of a scheduler's life in seconds: random arrivals, cancels, classes, accounts and
// deadlines on a simulated clock, and what must hold whatever they are.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "sched/batcher.h"
#include "tests/support/fake_runner.h"

namespace lull {
namespace {

using testing::FakeRunner;
using testing::FakeTokenizer;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kLongestStepNs = kMs + 48 * kMs / 10 + 1;  // of 48 rows

struct Life {
  Priority priority = Priority::kInteractive;
  std::string account;
  int64_t submit_ns = 0;
  int64_t deadline_ns = 0;
  int64_t first_token_ns = 0;
  int64_t end_ns = 0;
  int64_t tokens = 0;
  int finishes = 0;
  bool cancelled = false;
  FinishReason reason = FinishReason::kError;
  Error error;
};

class Simulation {
 public:
  explicit Simulation(uint32_t seed)
      : rng_(seed),
        tokenizer_(FakeTokenizer::Letters(64)),
        runner_({.pool_pages = pages_,
                 .max_sequences = 9,
                 .max_batch_rows = 48,
                 .prefix_cache = seed % 2 == 0}),
        batcher_(runner_, tokenizer_, {}, Options(seed)) {
    runner_.on_forward = [this](const ExecContext&, std::span<const BatchRow> rows) {
      now_ns_ += kMs + static_cast<int64_t>(rows.size()) * kMs / 10;
      return Status::Ok();
    };
  }

  void Run() {
    const uint64_t requests = 10 + rng_() % 30;
    while (lives_.size() < requests) {
      for (uint32_t n = rng_() % 4; n > 0; --n) Submit();
      for (uint32_t n = rng_() % 6; n > 0; --n) Step();
      if (!lives_.empty() && rng_() % 8 == 0) Cancel(1 + rng_() % lives_.size());
      if (rng_() % 16 == 0) now_ns_ += static_cast<int64_t>(rng_() % 50) * kMs;
    }
    for (int i = 0; i < 20'000 && !batcher_.idle(); ++i) Step();
    Check();
  }

 private:
  BatcherOptions Options(uint32_t seed) {
    BatcherOptions options;
    options.max_sequences = 1 + static_cast<int>(seed % 8);
    options.prefill_chunk_tokens = 1 + static_cast<int>(seed * 7 % 40);
    options.kv_pool_tokens = pages_ * 64;
    options.answer_room_tokens = seed % 3 == 0 ? 256 : 20;
    options.prefix_cache = seed % 2 == 0;
    options.now_ns = [this] { return now_ns_; };
    return options;
  }

  void Submit() {
    Request request;
    request.prompt_tokens.resize(1 + rng_() % (rng_() % 4 == 0 ? 200 : 30));
    for (int32_t& token : request.prompt_tokens) token = static_cast<int32_t>(rng_() % 63);
    if (rng_() % 2 == 0) std::fill(request.prompt_tokens.begin(), request.prompt_tokens.end(), 5);
    request.max_new_tokens = static_cast<int64_t>(1 + rng_() % (rng_() % 4 == 0 ? 150 : 20));
    request.ignore_eog = rng_() % 2 == 0;
    request.priority = static_cast<Priority>(rng_() % 3);
    request.account = std::string(1, static_cast<char>('a' + rng_() % 3));
    if (rng_() % 4 == 0) request.deadline_ms = 1 + static_cast<int64_t>(rng_() % 400);
    ASSERT_TRUE(CheckRequest(request, batcher_.limits()).ok());
    const uint64_t id = lives_.size() + 1;
    Life& life = lives_[id];
    life.priority = request.priority;
    life.account = request.account;
    life.submit_ns = now_ns_;
    if (request.deadline_ms > 0) life.deadline_ns = now_ns_ + request.deadline_ms * kMs;
    batcher_.Add({id, std::move(request), std::make_shared<EventFn>([](const Event&) {}), now_ns_});
  }

  void Step() {
    std::vector<Delivery> out;
    const int64_t begin_ns = now_ns_;
    batcher_.Step(&out);
    Take(out);
    for (const auto& [id, life] : lives_) {
      const bool late = life.deadline_ns != 0 && begin_ns >= life.deadline_ns;
      EXPECT_TRUE(!late || life.finishes == 1) << id << " goes on after its deadline";
    }
  }

  void Cancel(uint64_t id) {
    std::vector<Delivery> out;
    batcher_.Cancel(id, &out);
    for (const Delivery& delivery : out) lives_.at(delivery.id).cancelled = true;
    Take(out);
  }

  void Take(const std::vector<Delivery>& out) {
    for (const Delivery& delivery : out) {
      Life& life = lives_.at(delivery.id);
      ASSERT_EQ(life.finishes, 0) << "an event after the last one";
      if (delivery.event.kind == Event::Kind::kToken) {
        if (life.tokens++ == 0) life.first_token_ns = now_ns_;
        continue;
      }
      ++life.finishes;
      life.end_ns = now_ns_;
      life.reason = delivery.event.reason;
      life.error = delivery.event.error;
      EXPECT_EQ(delivery.event.stats.new_tokens, life.tokens);
    }
  }

  void Check() {
    EXPECT_TRUE(batcher_.idle());
    EXPECT_EQ(runner_.misuse(), "");
    EXPECT_EQ(runner_.pages_used, 0);
    for (const auto& [id, life] : lives_) {
      ASSERT_EQ(life.finishes, 1) << "request " << id << " is lost";
      EXPECT_EQ(life.reason == FinishReason::kCancelled, life.cancelled) << id;
      const bool expired = life.error.code == ErrorCode::kDeadlineExceeded;
      EXPECT_EQ(life.reason == FinishReason::kError, expired) << id << life.error.message;
      if (expired) {
        EXPECT_GE(life.end_ns, life.deadline_ns) << id;
      }
      // Nothing runs on for longer than the step in which its deadline passed.
      if (life.deadline_ns != 0 && !expired && !life.cancelled) {
        EXPECT_LT(life.end_ns, life.deadline_ns + kLongestStepNs) << id;
      }
    }
    CheckOrder();
  }

  // First in, first out: of two requests of one class and account the later never answers first.
  void CheckOrder() {
    std::map<std::pair<Priority, std::string>, std::pair<uint64_t, int64_t>> last;
    for (const auto& [id, life] : lives_) {
      if (life.first_token_ns == 0) continue;
      auto& [last_id, last_ns] = last[{life.priority, life.account}];
      EXPECT_GE(life.first_token_ns, last_ns) << id << " overtook " << last_id;
      last_id = id;
      last_ns = life.first_token_ns;
    }
  }

  static constexpr int64_t pages_ = 12;
  std::mt19937 rng_;
  int64_t now_ns_ = 1000 * kMs;
  FakeTokenizer tokenizer_;
  FakeRunner runner_;
  Batcher batcher_;
  std::map<uint64_t, Life> lives_;
};

TEST(SchedulerSimulation, NothingIsLostOvertakenOrLate) {
  for (uint32_t seed = 1; seed <= 2000 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Simulation(seed).Run();
  }
}

}  // namespace
}  // namespace lull
