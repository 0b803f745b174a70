#include "sched/batcher.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/os/os.h"
#include "base/thread_pool.h"
#include "tests/sched/batcher_world.h"

namespace lull {
namespace {

TEST(Batcher, OneRequestToItsLength) {
  World world;
  Request request = MakeRequest({1, 2, 3}, 5);
  request.ignore_eog = true;
  world.Add(7, request);
  world.Drain();
  const Answer& answer = world.answers[7];
  EXPECT_EQ(answer.tokens.size(), 5u);
  EXPECT_EQ(answer.text, world.tokenizer.Decode(ExecContext(), answer.tokens, false));
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.stats.prompt_tokens, 3);
  EXPECT_EQ(answer.stats.new_tokens, 5);
  EXPECT_EQ(answer.stats.kv_bytes, 1000);
  EXPECT_EQ(world.runner.forwards, 5);
  EXPECT_EQ(world.runner.pages_used, 0);
}

// Process CPU time and weight bytes are split without a rest: the receipts add up to the whole.
TEST(Batcher, ReceiptsAddUp) {
  World world({}, {.prefill_chunk_tokens = 32});
  std::mt19937 rng(3);
  volatile uint64_t sink = 0;
  world.runner.on_forward = [&sink](const ExecContext&, std::span<const BatchRow>) {
    for (uint64_t i = 0; i < 50'000; ++i) sink = testing::Mix(sink + i);
    return Status::Ok();
  };
  const int64_t begin_ns = os::ProcessCpuNs();
  for (uint64_t id = 1; id <= 40; ++id) {
    world.Add(id, RandomRequest(rng));
    world.Step();
    for (uint64_t i = 0; i < 20'000; ++i) sink = testing::Mix(sink + i);  // as a tokenizer would
    if (id % 8 == 0) world.Cancel(id - 1);
  }
  world.Drain();
  const double used_ms = static_cast<double>(os::ProcessCpuNs() - begin_ns) * 1e-6;
  double cpu_ms = world.batcher.counts().idle_cpu_ms;
  int64_t bytes = 0;
  for (const auto& [id, answer] : world.answers) {
    const RequestStats& stats = answer.stats;
    cpu_ms += stats.cpu_ms;
    bytes += stats.bytes_moved;
    EXPECT_EQ(stats.throttled_ms, 0.0);
  }
  EXPECT_NEAR(cpu_ms, used_ms, used_ms * 0.02);
  EXPECT_EQ(bytes, world.runner.bytes_moved());
}

// The sleeps of a step are wall time for each of its requests, not a share of it.
TEST(Batcher, ThrottledTimeIsThatOfItsSteps) {
  class SleepyPacer : public Pacer {
   public:
    void Checkpoint() override {
      const int64_t begin_ns = os::MonotonicNs();
      os::SleepUntilNs(begin_ns + 1'000'000);
      paused_ns_ += os::MonotonicNs() - begin_ns;
    }
    bool capped() const override { return true; }
    int64_t PausedNs() const override { return paused_ns_; }

   private:
    int64_t paused_ns_ = 0;
  } pacer;
  FakeTokenizer tokenizer = FakeTokenizer::Letters(64);
  FakeRunner runner({});
  const int64_t begin_ns = os::MonotonicNs();
  Batcher batcher(runner, tokenizer, {nullptr, &pacer, nullptr}, {});
  std::vector<Delivery> out;
  for (uint64_t id = 1; id <= 2; ++id) {
    Request request = MakeRequest({1, 2, 3}, 4);
    request.ignore_eog = true;
    batcher.Add({id, request, std::make_shared<EventFn>([](const Event&) {}), os::MonotonicNs()});
  }
  while (!batcher.idle()) batcher.Step(&out);
  for (const Delivery& delivery : out) {
    if (delivery.event.kind != Event::Kind::kFinish) continue;
    const RequestStats& stats = delivery.event.stats;
    EXPECT_GE(stats.throttled_ms, 12.0);  // 3 + 3 + 2 + 2 + 2 rows of 1 ms, and more in sampling
    EXPECT_LE(stats.throttled_ms, static_cast<double>(os::MonotonicNs() - begin_ns) * 1e-6);
  }
}

// Allows the tokens of a text in order, then the end.
class Spelling : public TokenConstraint {
 public:
  Spelling(std::vector<int32_t> tokens, int32_t end_token)
      : tokens_(std::move(tokens)), end_token_(end_token) {}
  Status FillMask(std::span<uint32_t> mask) override {
    EXPECT_EQ(mask.size(), 2u);
    std::fill(mask.begin(), mask.end(), 0u);
    if (at_ >= fail_mask_at) return {ErrorCode::kInvalidInput, "no mask"};
    const int32_t next = at_ < tokens_.size() ? tokens_[at_] : end_token_;
    if (next >= 0) mask[static_cast<size_t>(next) / 32] |= 1u << (next % 32);
    return Status::Ok();
  }
  Status Accept(int32_t token) override {
    EXPECT_EQ(token, tokens_.at(at_));
    if (at_++ == fail_accept_at) return {ErrorCode::kInvalidInput, "not accepted"};
    return Status::Ok();
  }
  bool finished() const override { return tells_end && at_ == tokens_.size(); }

  bool tells_end = false;
  size_t fail_mask_at = 1000;
  size_t fail_accept_at = 1000;

 private:
  std::vector<int32_t> tokens_;
  int32_t end_token_;
  size_t at_ = 0;
};

Answer Constrained(const std::shared_ptr<Spelling>& constraint, bool ignore_eog = false) {
  Request request = MakeRequest({1, 2, 3}, 20);
  request.constraint = constraint;
  request.logprobs = 64;
  request.ignore_eog = ignore_eog;
  return Solo(request);
}

TEST(Batcher, AConstraintChoosesWhatMayFollow) {
  const std::vector<int32_t> text = {5, 40, 5, 33, 62};
  for (const bool ignore_eog : {false, true}) {
    const Answer answer = Constrained(std::make_shared<Spelling>(text, 63), ignore_eog);
    EXPECT_EQ(answer.tokens, text);
    EXPECT_EQ(answer.reason, FinishReason::kEog);
  }
  const auto tells = std::make_shared<Spelling>(text, 63);
  tells->tells_end = true;
  const Answer answer = Constrained(tells);
  EXPECT_EQ(answer.tokens, text);
  EXPECT_EQ(answer.reason, FinishReason::kStop);
  // Log-probabilities are of the unmodified logits: what was chosen is not certain.
  EXPECT_LT(answer.chosen[0].logprob, -0.1f);
}

// The text of a control token is part of the answer where the request says so.
TEST(Batcher, ShownTokensAreWrittenOut) {
  for (const bool shown : {false, true}) {
    World world;
    world.tokenizer.control_token = 40;
    Request request = MakeRequest({1, 2, 3}, 20);
    request.constraint = std::make_shared<Spelling>(std::vector<int32_t>{5, 40, 6}, 63);
    if (shown) request.shown_tokens = {40};
    world.Add(1, request);
    world.Drain();
    EXPECT_EQ(world.answers[1].text, shown ? "5X6" : "56");
  }
}

TEST(Batcher, AConstraintsErrorEndsItsRequest) {
  const std::vector<int32_t> text = {5, 40, 5};
  const auto no_mask = std::make_shared<Spelling>(text, 63);
  no_mask->fail_mask_at = 2;
  EXPECT_EQ(Constrained(no_mask).error.message, "no mask");
  const auto refuses = std::make_shared<Spelling>(text, 63);
  refuses->fail_accept_at = 1;
  const Answer refused = Constrained(refuses);
  EXPECT_EQ(refused.reason, FinishReason::kError);
  EXPECT_EQ(refused.error.message, "not accepted");
  const Answer nothing = Constrained(std::make_shared<Spelling>(text, -1));
  EXPECT_EQ(nothing.tokens, text);
  EXPECT_EQ(nothing.reason, FinishReason::kError);
  EXPECT_EQ(nothing.error.code, ErrorCode::kInvalidInput);
}

// A preempted request's tokens are computed again, but its constraint has seen them already.
TEST(Batcher, AConstraintSurvivesPreemption) {
  FakeRunner::Options options;
  options.pool_pages = 4;
  World world(options, {.kv_pool_tokens = 256, .answer_room_tokens = 8});
  std::vector<int32_t> text;
  for (int32_t i = 0; i < 150; ++i) text.push_back(i * 7 % 63);
  for (uint64_t id = 1; id <= 3; ++id) {
    Request request = MakeRequest({1, 2, 3}, 200);
    request.constraint = std::make_shared<Spelling>(text, 63);
    world.Add(id, request);
  }
  world.Drain();
  EXPECT_GT(world.batcher.counts().preempted, 0);
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(world.answers[id].tokens, text);
}

TEST(Batcher, AnyChunkSizeGivesTheSameAnswer) {
  std::mt19937 rng(1);
  Request request = RandomRequest(rng);
  request.prompt_tokens.assign(200, 5);
  const Answer want = Solo(request);
  for (int chunk : {1, 3, 64, 65, 199, 200, 1000}) {
    World world({}, {.prefill_chunk_tokens = chunk});
    world.Add(1, request);
    world.Drain();
    ExpectSame(world.answers[1], want, "chunked");
    EXPECT_LE(world.runner.max_rows_seen, chunk);
  }
}

TEST(Batcher, APromptDoesNotStallAnswers) {
  World world({}, {.prefill_chunk_tokens = 16});
  Request answering = MakeRequest({1}, 50);
  answering.ignore_eog = true;
  world.Add(1, answering);
  world.Step();
  world.Add(2, MakeRequest(std::vector<int32_t>(160, 3), 1));
  for (int i = 0; i < 9; ++i) {
    const size_t before = world.answers[1].tokens.size();
    world.Step();
    EXPECT_EQ(world.answers[1].tokens.size(), before + 1);
    EXPECT_EQ(world.answers.count(2), 0u);
  }
  world.Step();  // the tenth chunk of 16 completes the prompt of 160
  EXPECT_EQ(world.answers[2].finishes, 1);
  EXPECT_LE(world.runner.max_rows_seen, 17);
}

// A step of r rows takes r ms here; the p95 that is declared while answers run bounds the prompt
// rows of the next step at once.
TEST(Batcher, ADeclaredLatencyBoundsTheNextStep) {
  double p95_s = 0.0;
  World world({}, {.prefill_chunk_tokens = 128, .p95_latency_s = [&p95_s] { return p95_s; }});
  world.runner.on_forward = [](const ExecContext&, std::span<const BatchRow> rows) {
    os::SleepUntilNs(os::MonotonicNs() + static_cast<int64_t>(rows.size()) * 1'000'000);
    return Status::Ok();
  };
  Request answering = MakeRequest({1}, 300);
  answering.ignore_eog = true;
  world.Add(1, answering);
  world.Add(2, MakeRequest(std::vector<int32_t>(500, 3), 1));
  const auto rows_of_a_step = [&world] {
    world.runner.max_rows_seen = 0;
    world.Step();
    return world.runner.max_rows_seen.load();
  };
  for (int i = 0; i < 2; ++i) EXPECT_GE(rows_of_a_step(), 128);
  while (world.batcher.BacklogOf(Priority::kInteractive).prompt_tokens > 0) world.Step();
  for (int i = 0; i < 6; ++i) world.Step();
  world.Add(3, MakeRequest(std::vector<int32_t>(500, 4), 1));
  EXPECT_GT(rows_of_a_step(), 60);  // 250 ms: the chunk, or little less
  p95_s = 0.4;                      // 40 ms
  EXPECT_LE(rows_of_a_step(), 48);
  p95_s = 0.0;
  EXPECT_GT(rows_of_a_step(), 60);
}

TEST(Batcher, FirstInFirstOutAndRoomForTheWholeAnswer) {
  FakeRunner::Options options;
  options.pool_pages = 4;
  World world(options, {.kv_pool_tokens = 256});
  const auto pages = [](int64_t n) {
    Request request = MakeRequest({1}, 64 * n);
    request.ignore_eog = true;
    return request;
  };
  world.Add(1, pages(2));
  world.Add(2, pages(3));  // does not fit beside 1
  world.Add(3, pages(1));  // would, but waits its turn
  world.Step();
  EXPECT_EQ(world.batcher.counts().running, 1);
  EXPECT_EQ(world.batcher.counts().waiting, 2);
  world.Drain();
  for (uint64_t id : {1, 2, 3}) EXPECT_EQ(world.answers[id].reason, FinishReason::kLength) << id;
  EXPECT_EQ(world.runner.misuse(), "");
}

// Many long answers share a pool that holds two of them at their end: they begin together, the
// younger ones give way, and each gets the answer it gets alone.
TEST(Batcher, LongAnswersGrowAndGiveWayToOlderOnes) {
  FakeRunner::Options options;
  options.pool_pages = 16;
  World world(options, {.kv_pool_tokens = 1024, .answer_room_tokens = 64});
  std::map<uint64_t, Request> requests;
  for (uint64_t id = 1; id <= 6; ++id) {
    requests[id] = MakeRequest({static_cast<int32_t>(id), 2, 3}, 480);
    requests[id].ignore_eog = true;
    requests[id].sampling.temperature = 1.0;
    requests[id].sampling.seed = id;
    requests[id].sampling.frequency_penalty = 0.1;
    requests[id].sampling.penalty_last_n = -1;
    world.Add(id, requests[id]);
  }
  world.Step();
  EXPECT_EQ(world.batcher.counts().running, 6);
  int64_t new_tokens = 0;
  for (int i = 0; i < 100000 && !world.batcher.idle(); ++i) {
    world.Step();
    const BatcherCounts counts = world.batcher.counts();
    EXPECT_GE(counts.new_tokens, new_tokens);  // a counter never goes back
    new_tokens = counts.new_tokens;
  }
  EXPECT_TRUE(world.batcher.idle());
  EXPECT_GT(world.batcher.counts().preempted, 0);
  EXPECT_EQ(world.batcher.counts().prompt_tokens, 18);
  EXPECT_EQ(world.runner.misuse(), "");
  EXPECT_EQ(world.runner.pages_used, 0);
  for (const auto& [id, request] : requests) {
    ExpectSame(world.answers[id], Solo(request), "preempted");
    EXPECT_EQ(world.answers[id].tokens.size(), 480u);
  }
}

// The pages that one who runs is about to need do not go to a new one, only to be taken back.
TEST(Batcher, WhoRunsGetsPagesBeforeWhoWaits) {
  FakeRunner::Options options;
  options.pool_pages = 4;
  World world(options, {.kv_pool_tokens = 256, .answer_room_tokens = 64});
  Request request = MakeRequest({1}, 240);
  request.ignore_eog = true;
  world.Add(1, request);
  while (world.batcher.counts().new_tokens < 128) world.Step();
  request.max_new_tokens = 100;
  world.Add(2, request);
  world.Drain();
  EXPECT_EQ(world.batcher.counts().preempted, 0);
  EXPECT_EQ(world.answers[1].tokens.size(), 240u);
  EXPECT_EQ(world.answers[2].tokens.size(), 100u);
}

TEST(Batcher, ARequestThatCannotBeOpenedKeepsNoPages) {
  FakeRunner::Options options;
  options.max_sequences = 2;
  World world(options, {.kv_pool_tokens = 2048});
  const std::vector<int> taken = {*world.runner.OpenSequence(), *world.runner.OpenSequence()};
  for (uint64_t id = 1; id <= 10; ++id) {
    world.Add(id, MakeRequest({1}, 400));
    world.Drain();
    EXPECT_EQ(world.answers[id].reason, FinishReason::kError);
  }
  for (const int sequence : taken) world.runner.CloseSequence(sequence);
  for (uint64_t id = 11; id <= 12; ++id) world.Add(id, MakeRequest({1}, 400));
  world.Step();
  EXPECT_EQ(world.batcher.counts().running, 2);
}

TEST(Batcher, ARequestThePoolCanNeverHoldEndsWithAnError) {
  FakeRunner::Options options;
  options.pool_pages = 2;
  World world(options);
  world.Add(1, MakeRequest({1}, 200));
  world.Add(2, MakeRequest({1}, 20));
  world.Drain();
  EXPECT_EQ(world.answers[1].reason, FinishReason::kError);
  EXPECT_EQ(world.answers[1].error.code, ErrorCode::kOutOfMemory);
  EXPECT_NE(world.answers[2].reason, FinishReason::kError);
}

TEST(Batcher, AForwardErrorEndsOnlyTheRequestItBelongsTo) {
  std::mt19937 rng(4);
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(RandomRequest(rng));
  World world;
  for (size_t i = 0; i < requests.size(); ++i) world.Add(i, requests[i]);
  world.runner.on_forward = [](const ExecContext&, std::span<const BatchRow> rows) -> Status {
    for (const BatchRow& row : rows) {
      if (row.sequence == 2 && row.position >= 3) return {ErrorCode::kInternal, "bad page"};
    }
    return Status::Ok();
  };
  world.Drain();
  for (size_t i = 0; i < requests.size(); ++i) {
    if (i == 2) {
      EXPECT_EQ(world.answers[i].reason, FinishReason::kError);
      EXPECT_EQ(world.answers[i].error.message, "bad page");
    } else {
      ExpectSame(world.answers[i], Solo(requests[i]), "beside a failing one");
    }
  }
  EXPECT_EQ(world.runner.pages_used, 0);
  EXPECT_EQ(world.runner.misuse(), "");
}

TEST(Batcher, CancelWhileWaitingAndWhileRunning) {
  World world({}, {.max_sequences = 1});
  Request request = MakeRequest({1}, 100);
  request.ignore_eog = true;
  world.Add(1, request);
  world.Add(2, request);
  world.Step();
  world.Cancel(2);
  world.Step();
  world.Cancel(1);
  world.Cancel(1);
  world.Cancel(99);
  EXPECT_TRUE(world.batcher.idle());
  EXPECT_EQ(world.answers[1].reason, FinishReason::kCancelled);
  EXPECT_EQ(world.answers[1].tokens.size(), 2u);
  EXPECT_EQ(world.answers[2].reason, FinishReason::kCancelled);
  EXPECT_EQ(world.answers[2].finishes, 1);
  EXPECT_EQ(world.runner.pages_used, 0);
}

TEST(Batcher, StopStringAcrossTokensEndsTheAnswerBeforeIt) {
  Request request = MakeRequest({9, 8}, 40);
  request.ignore_eog = true;
  const Answer whole = Solo(request);
  request.stop = {whole.text.substr(10, 3)};
  const size_t at = whole.text.find(request.stop[0]);
  const Answer cut = Solo(request);
  EXPECT_EQ(cut.reason, FinishReason::kStop);
  EXPECT_EQ(cut.text, whole.text.substr(0, at));
  EXPECT_EQ(cut.tokens.size(), at + 3);
}

TEST(Batcher, EndOfGenerationIsNotPartOfTheAnswer) {
  int ended = 0;
  for (int32_t first = 0; first < 20; ++first) {
    Request request = MakeRequest({first}, 400);
    const Answer answer = Solo(request);
    if (answer.reason != FinishReason::kEog) continue;
    ++ended;
    for (int32_t token : answer.tokens) EXPECT_NE(token, 63);
    request.ignore_eog = true;
    const Answer longer = Solo(request);
    EXPECT_GT(longer.tokens.size(), answer.tokens.size());
    EXPECT_EQ(longer.tokens[answer.tokens.size()], 63);
  }
  EXPECT_GT(ended, 10);
}

TEST(Batcher, HalfCharactersNeverLeave) {
  // Each token is one byte of "é" or "日" or a letter; the text must be whole characters
  // throughout.
  std::vector<std::string> pieces{"\xc3", "\xa9", "\xe6", "\x97", "\xa5", "x"};
  FakeTokenizer tokenizer(pieces, -1);
  FakeRunner::Options options;
  options.vocab_size = 6;
  FakeRunner runner(options);
  Batcher batcher(runner, tokenizer, {}, {});
  std::vector<std::string> texts;
  const std::vector<int32_t> forced{0, 1, 2, 3, 4, 5, 0};
  Request request;
  request.prompt_tokens = {5};
  request.max_new_tokens = 1;
  Sequence sequence(ExecContext(), {1, request, std::make_shared<EventFn>([](const Event&) {}), 0},
                    tokenizer, 7);
  std::vector<Delivery> out;
  for (const int32_t token : forced) {
    std::vector<float> logits(6, 0.0f);
    logits[static_cast<size_t>(token)] = 1.0f;
    sequence.PrepareChoice(logits.size());
    sequence.Choose({}, logits);
    sequence.Advance(1, &out);
  }
  for (const Delivery& delivery : out) texts.push_back(delivery.event.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"", "é", "", "", "日", "x", ""}));
  ASSERT_TRUE(sequence.finished());
  EXPECT_EQ(sequence.TakeFinish({}, 2).event.text, "\xef\xbf\xbd");
}

TEST(Batcher, CpuTimeIsSharedOut) {
  World world;
  Request request = MakeRequest({1, 2}, 300);
  request.ignore_eog = true;
  world.Add(1, request);
  request.max_new_tokens = 10;
  world.Add(2, request);
  world.Drain();
  EXPECT_GT(world.answers[1].stats.cpu_ms, world.answers[2].stats.cpu_ms);
  EXPECT_GT(world.answers[2].stats.cpu_ms, 0.0);
}

// Thousands of requests come and go at random; every one finishes exactly once, with the answer it
// gets alone (a prefix of it where cancelled), and the pool is empty at the end.
TEST(Batcher, RandomTrafficEqualsSoloRuns) {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    std::mt19937 rng(seed);
    FakeRunner::Options options;
    options.pool_pages = 12;
    options.max_sequences = 9;
    options.max_batch_rows = 40;
    const int64_t room = seed % 2 == 0 ? 256 : static_cast<int64_t>(seed) * 10;
    World world(options, {.max_sequences = 8,
                          .prefill_chunk_tokens = 32,
                          .kv_pool_tokens = 768,
                          .answer_room_tokens = room});
    std::map<uint64_t, Request> requests;
    for (uint64_t id = 1; id <= 1000;) {
      for (uint32_t n = rng() % 4; n > 0 && id <= 1000; --n, ++id) {
        requests[id] = RandomRequest(rng);
        world.Add(id, requests[id]);
      }
      for (uint32_t n = rng() % 5; n > 0; --n) world.Step();
      if (rng() % 3 == 0) world.Cancel(1 + rng() % id);
    }
    world.Drain();
    EXPECT_EQ(world.runner.misuse(), "");
    EXPECT_EQ(world.runner.pages_used, 0);
    EXPECT_EQ(world.answers.size(), requests.size());
    int64_t cancelled = 0;
    for (const auto& [id, request] : requests) {
      const Answer& got = world.answers[id];
      ASSERT_EQ(got.finishes, 1) << id;
      Answer want = Solo(request);
      if (got.reason == FinishReason::kCancelled) {
        ++cancelled;
        ASSERT_LE(got.tokens.size(), want.tokens.size());
        want.tokens.resize(got.tokens.size());
        EXPECT_EQ(got.tokens, want.tokens);
        continue;
      }
      ExpectSame(got, want, "in traffic");
    }
    const BatcherCounts counts = world.batcher.counts();
    EXPECT_EQ(counts.finished + counts.cancelled, 1000);
    EXPECT_EQ(counts.cancelled, cancelled);
    EXPECT_EQ(counts.preempted > 0, room < 256) << seed;
    EXPECT_GT(cancelled, 10);
  }
}

// Choices are made on the threads of the pool, each row for itself.
TEST(Batcher, ManyThreadsChooseTheSame) {
  ThreadPool pool(4);
  FakeTokenizer tokenizer = FakeTokenizer::Letters(64);
  FakeRunner runner({.pool_pages = 400});
  Batcher batcher(runner, tokenizer, {&pool, nullptr, nullptr}, {});
  std::mt19937 rng(11);
  std::vector<Request> requests;
  for (uint64_t id = 0; id < 40; ++id) {
    requests.push_back(RandomRequest(rng));
    batcher.Add({id, requests.back(), std::make_shared<EventFn>([](const Event&) {}), 0});
  }
  std::map<uint64_t, Answer> answers;
  std::vector<Delivery> out;
  while (!batcher.idle()) batcher.Step(&out);
  for (const Delivery& delivery : out) {
    Answer& answer = answers[delivery.id];
    answer.text += delivery.event.text;
    answer.reason = delivery.event.reason;
    if (delivery.event.kind != Event::Kind::kToken) continue;
    answer.tokens.push_back(delivery.event.token);
    answer.chosen.push_back(delivery.event.chosen);
  }
  for (uint64_t id = 0; id < 40; ++id) ExpectSame(answers[id], Solo(requests[id]), "threads");
}

}  // namespace
}  // namespace lull
