#include "lull/engine.h"

#include <gtest/gtest.h>

#include <list>
#include <thread>

#include "base/os/os.h"
#include "tests/engine/world.h"

namespace lull {
namespace {

using testing::Answer;
using testing::Prompt;
using testing::SampledRequest;
using testing::World;

void Ask(Engine& engine, const Request& request, Answer* answer) {
  const auto id = engine.Submit(request, answer->Fn());
  ASSERT_TRUE(id.ok()) << id.status().ToString();
  ASSERT_TRUE(answer->WaitFinish());
}

void ExpectSame(const Answer& got, const Answer& want) {
  EXPECT_EQ(got.tokens, want.tokens);
  EXPECT_EQ(got.chosen, want.chosen);  // log-probabilities, bit for bit
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.reason, want.reason);
}

TEST(Engine, AnswersWithMeters) {
  World world;
  const auto engine = world.NewEngine();
  Answer answer;
  Ask(*engine, SampledRequest(0, 10, 20), &answer);
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.tokens.size(), 20u);
  EXPECT_EQ(answer.stats.prompt_tokens, 10);
  EXPECT_EQ(answer.stats.new_tokens, 20);
  EXPECT_GT(answer.stats.cpu_ms, 0.0);
  EXPECT_GT(answer.stats.kv_bytes, 0);
  EXPECT_EQ(engine->stats().kv.pages_used, 0);
  EXPECT_EQ(engine->max_context_tokens(), 512);
}

TEST(Engine, SameTokensAloneAndBeside63Others) {
  for (const char* arch : {"llama", "gemma3", "lfm2", "lfm2moe"}) {
    World world({.threads = 2}, {.arch = arch, .type = "Q8_0"});
    Answer alone[2];
    {
      const auto engine = world.NewEngine({.max_sequences = 1});
      for (int i = 0; i < 2; ++i) Ask(*engine, SampledRequest(i, 50, 24), &alone[i]);
    }
    const auto engine = world.NewEngine(
        {.kv_pool_tokens = 64 * 128, .max_sequences = 64, .prefill_chunk_tokens = 37});
    std::list<Answer> crowd;
    Answer beside[2];
    for (int i = 0; i < 62; ++i) {
      ASSERT_TRUE(
          engine->Submit(SampledRequest(100 + i, 1 + i, 30), crowd.emplace_back().Fn()).ok());
      if (i != 20 && i != 40) continue;
      Answer& own = beside[i / 20 - 1];
      ASSERT_TRUE(engine->Submit(SampledRequest(i / 20 - 1, 50, 24), own.Fn()).ok());
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(beside[i].WaitFinish());
      ExpectSame(beside[i], alone[i]);
    }
    for (Answer& answer : crowd) ASSERT_TRUE(answer.WaitFinish());
    EXPECT_EQ(engine->stats().requests_finished, 64) << arch;
    EXPECT_EQ(engine->stats().kv.pages_used, 0) << arch;
  }
}

TEST(Engine, SameAnswerAtTenPercentAndUncapped) {
  Answer free, capped;
  {
    World world({}, {.type = "Q4_1"});
    Ask(*world.NewEngine(), SampledRequest(1, 60, 40), &free);
  }
  World world({.budget = {.cpu = {.mean_share = 0.10, .p99_share = 0.30}}}, {.type = "Q4_1"});
  Ask(*world.NewEngine(), SampledRequest(1, 60, 40), &capped);
  ExpectSame(capped, free);
  EXPECT_GT(world.runtime->cpu_meter().checkpoints, 0);
}

// Few tokens: on a busy machine an idle-priority thread waits long for its turn.
TEST(Engine, RunsAtIdlePriority) {
  World world({.threads = 2, .idle_priority = true});
  Answer answer;
  Ask(*world.NewEngine(), SampledRequest(0, 4, 3), &answer);
  EXPECT_EQ(answer.tokens.size(), 3u);
}

TEST(Engine, AStopStringEndsTheAnswer) {
  World world;
  const auto engine = world.NewEngine();
  Answer whole, cut;
  Ask(*engine, SampledRequest(1, 5, 60), &whole);
  ASSERT_GT(whole.text.size(), 20u);
  // A whole character from the middle: bytes below 0x80 stand for themselves.
  size_t at = whole.text.size() / 2;
  while (at < whole.text.size() && static_cast<uint8_t>(whole.text[at]) >= 0x80) ++at;
  ASSERT_LT(at, whole.text.size());
  Request request = SampledRequest(1, 5, 60);
  request.stop = {whole.text.substr(at, 1)};
  Ask(*engine, request, &cut);
  EXPECT_EQ(cut.reason, FinishReason::kStop);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(request.stop[0])));
}

TEST(Engine, CancelMidStream) {
  World world;
  const auto engine = world.NewEngine({.kv_pool_tokens = 1024});
  Answer cancelled, other;
  const auto id = engine->Submit(SampledRequest(0, 10, 480), cancelled.Fn());
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(engine->Submit(SampledRequest(2, 10, 100), other.Fn()).ok());
  ASSERT_TRUE(cancelled.WaitTokens(3));
  engine->Cancel(*id);
  ASSERT_TRUE(cancelled.WaitFinish());
  EXPECT_EQ(cancelled.reason, FinishReason::kCancelled);
  EXPECT_LT(cancelled.tokens.size(), 480u);
  ASSERT_TRUE(other.WaitFinish());
  EXPECT_EQ(other.tokens.size(), 100u);
  engine->Cancel(*id);
  engine->Cancel(999);
  EXPECT_EQ(engine->stats().requests_cancelled, 1);
}

TEST(Engine, DestroyWhileRunning) {
  World world;
  std::list<Answer> answers;
  {
    const auto engine = world.NewEngine({.max_sequences = 4});
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(engine->Submit(SampledRequest(i, 10, 480), answers.emplace_back().Fn()).ok());
    }
    ASSERT_TRUE(answers.front().WaitTokens(1));
  }
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer.finishes, 1);
    EXPECT_EQ(answer.reason, FinishReason::kCancelled);
  }
}

// Answers grow into the pool; the younger ones give their pages up and are computed again.
class Preemption : public ::testing::TestWithParam<const char*> {};

TEST_P(Preemption, GivesTheSameAnswers) {
  World world({}, {.arch = GetParam(), .ctx = 512});
  const auto engine = world.NewEngine({.kv_pool_tokens = 1024});
  std::list<Answer> together, alone;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(engine->Submit(SampledRequest(i, 10 + i, 480), together.emplace_back().Fn()).ok());
  }
  for (Answer& answer : together) ASSERT_TRUE(answer.WaitFinish());
  EXPECT_GT(engine->stats().preemptions, 0);
  EXPECT_EQ(engine->stats().kv.pages_used, 0);
  const auto roomy = world.NewEngine();
  int i = 0;
  for (const Answer& answer : together) {
    Ask(*roomy, SampledRequest(i, 10 + i, 480), &alone.emplace_back());
    ExpectSame(answer, alone.back());
    ++i;
  }
  EXPECT_EQ(roomy->stats().preemptions, 0);
}

INSTANTIATE_TEST_SUITE_P(Engine, Preemption, ::testing::Values("llama", "gemma3", "lfm2"));

TEST(Engine, StopLetsFinishWhatRuns) {
  World world;
  const auto engine = world.NewEngine();
  Answer answer, late;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 10, 20), answer.Fn()).ok());
  EXPECT_TRUE(engine->Stop(60'000));
  EXPECT_EQ(answer.finishes, 1);
  EXPECT_EQ(answer.tokens.size(), 20u);
  const auto refused = engine->Submit(SampledRequest(0, 10, 20), late.Fn());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(engine->stats().requests_refused, 1);
  EXPECT_EQ(engine->stats().requests_invalid, 0);
}

TEST(Engine, StopCancelsAfterItsTime) {
  World world;
  const auto engine = world.NewEngine({.max_sequences = 1});
  Answer first, last;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 10, 480), first.Fn()).ok());
  std::list<Answer> between;  // seconds of work, so that the last one cannot have ended
  for (int i = 1; i < 100; ++i) {
    ASSERT_TRUE(engine->Submit(SampledRequest(i, 10, 480), between.emplace_back().Fn()).ok());
  }
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 10, 480), last.Fn()).ok());
  ASSERT_TRUE(first.WaitTokens(1));
  EXPECT_FALSE(engine->Stop(0));
  EXPECT_EQ(first.finishes, 1);
  EXPECT_EQ(last.finishes, 1);
  EXPECT_EQ(last.reason, FinishReason::kCancelled);
}

TEST(Engine, RefusesAtOnce) {
  World world;
  const auto engine = world.NewEngine({.max_context_tokens = 64});
  Answer answer;
  const auto overflow = engine->Submit(SampledRequest(0, 64, 1), answer.Fn());
  ASSERT_FALSE(overflow.ok());
  EXPECT_EQ(overflow.error().code, ErrorCode::kContextOverflow);
  EXPECT_NE(overflow.error().hint.find("63"), std::string::npos);
  EXPECT_EQ(engine->Submit({}, answer.Fn()).error().code, ErrorCode::kUsage);
  Request request = SampledRequest(0, 3, 1);
  request.prompt_tokens[1] = 320;
  EXPECT_EQ(engine->Submit(request, answer.Fn()).error().where, "prompt_tokens[1]");
  const auto where = [&](const EngineOptions& options) {
    const auto made = Engine::Create(*world.model, *world.runtime, options);
    return made.ok() ? std::string() : made.error().where;
  };
  EXPECT_EQ(where({.kv_type = "int1"}), "kv_type");
  EXPECT_EQ(where({.max_context_tokens = 100000}), "max_context_tokens");
  EXPECT_EQ(where({.max_sequences = 0}), "max_sequences");
  EXPECT_EQ(where({.max_queue = 0}), "max_queue");
  EXPECT_EQ(where({.prefill_chunk_tokens = 0}), "prefill_chunk_tokens");
  EXPECT_EQ(answer.finishes, 0);
  EXPECT_EQ(engine->stats().requests_invalid, 3);
  EXPECT_EQ(engine->stats().requests_refused, 0);
}

// The context ends an answer that asked for more.
TEST(Engine, TheContextIsUsedToItsEnd) {
  World world;
  const auto engine = world.NewEngine({.max_context_tokens = 64});
  Answer answer;
  Ask(*engine, SampledRequest(0, 60, 100), &answer);
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.tokens.size(), 4u);
}

// One pool serves both: passes alternate, results stay the same.
TEST(Engine, SharesARuntimeWithADecoder) {
  World world;
  Answer alone, shared;
  Ask(*world.NewEngine(), SampledRequest(1, 40, 60), &alone);
  const auto engine = world.NewEngine();
  const auto decoder = world.NewDecoder();
  ASSERT_TRUE(engine->Submit(SampledRequest(1, 40, 60), shared.Fn()).ok());
  std::vector<float> first;
  for (int round = 0; round < 20; ++round) {
    const int32_t sequence = *decoder->OpenSequence();
    std::vector<BatchRow> rows;
    for (const int32_t token : Prompt(9, 30)) {
      rows.push_back({sequence, static_cast<int32_t>(rows.size()), token});
    }
    const int32_t last = 29;
    std::vector<float> logits(320);
    ASSERT_TRUE(decoder->Forward(rows, {&last, 1}, logits.data()).ok());
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first);
    decoder->CloseSequence(sequence);
  }
  ASSERT_TRUE(shared.WaitFinish());
  ExpectSame(shared, alone);
}

TEST(Engine, IdleCostsNothing) {
  World world({.threads = 2});
  const auto engine = world.NewEngine();
  Answer answer;
  Ask(*engine, SampledRequest(0, 10, 5), &answer);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const int64_t before = os::ProcessCpuNs();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(os::ProcessCpuNs() - before, 5'000'000);  // 1 %, and no timer is set
}

// A prompt asked twice takes its pages over, and the answers' too; nothing else changes.
class PrefixCache : public ::testing::TestWithParam<const char*> {};

TEST_P(PrefixCache, GivesTheSameAnswers) {
  World world({}, {.arch = GetParam(), .type = "Q8_0", .ctx = 512});
  const auto plain = world.NewEngine({.prefix_cache = false});
  const auto cached = world.NewEngine();
  Request request = SampledRequest(1, 300, 100);
  Answer want, first, second;
  Ask(*plain, request, &want);
  Ask(*cached, request, &first);
  Ask(*cached, request, &second);
  ExpectSame(first, want);
  ExpectSame(second, want);
  EXPECT_EQ(want.stats.cached_tokens, 0);
  EXPECT_EQ(first.stats.cached_tokens, 0);
  // All but the last token, or whole pages where convolutions have states at their ends alone.
  const int64_t again = std::string(GetParam()).starts_with("lfm2") ? 256 : 299;
  EXPECT_EQ(second.stats.cached_tokens, again);
  EXPECT_LT(second.stats.bytes_moved, want.stats.bytes_moved);
  EXPECT_EQ(second.stats.kv_bytes, want.stats.kv_bytes);
  // The next turn of a conversation: prompt, answer, and what is said then.
  request.prompt_tokens.insert(request.prompt_tokens.end(), want.tokens.begin(), want.tokens.end());
  request.prompt_tokens.push_back(17);
  Answer turn, turn_want;
  Ask(*cached, request, &turn);
  Ask(*plain, request, &turn_want);
  ExpectSame(turn, turn_want);
  EXPECT_EQ(turn.stats.cached_tokens, 384);  // 399 were computed
  const EngineStats stats = cached->stats();
  EXPECT_EQ(stats.prefix_hits, again + 384);
  EXPECT_EQ(stats.prefix_queries, 300 + 300 + 401);
  EXPECT_EQ(stats.kv.pages_used, 0);
  EXPECT_GE(stats.kv.pages_cached, 6);
  EXPECT_GT(stats.kv.bytes_cached, 0);
  EXPECT_EQ(plain->stats().kv.pages_cached, 0);
}

TEST_P(PrefixCache, ACrowdOfPromptsThatBeginAlike) {
  World world({.threads = 2}, {.arch = GetParam(), .type = "Q8_0", .ctx = 512});
  const auto plain = world.NewEngine({.prefix_cache = false});
  // Small pools: pages come and go all the time, and requests are preempted.
  const auto cached =
      world.NewEngine({.kv_pool_tokens = 1024, .max_sequences = 6, .prefill_chunk_tokens = 50});
  const auto ask = [](int i) {
    Request request = SampledRequest(i, 200, 90);
    const std::vector<int32_t> begin = Prompt(1000 + i % 3, 130 + 10 * (i % 5));
    std::copy(begin.begin(), begin.end(), request.prompt_tokens.begin());
    request.use_prefix_cache = i % 7 != 0;
    return request;
  };
  std::list<Answer> crowd;
  for (int i = 0; i < 24; ++i) ASSERT_TRUE(cached->Submit(ask(i), crowd.emplace_back().Fn()).ok());
  int i = 0;
  for (Answer& answer : crowd) {
    ASSERT_TRUE(answer.WaitFinish());
    Answer want;
    Ask(*plain, ask(i++), &want);
    ExpectSame(answer, want);
  }
  EXPECT_GT(cached->stats().prefix_hits, 24 * 64);
  EXPECT_EQ(cached->stats().kv.pages_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Engine, PrefixCache,
                         ::testing::Values("llama", "gemma3", "lfm2", "lfm2moe", "qwen2", "qwen3"));

// Two models at work, by turns and at once: nobody's CPU time is counted twice or lost.
TEST(Engine, ReceiptsOfTwoEnginesAddUpToTheProcess) {
  World world({.threads = 2}, {.type = "Q8_0"});
  std::unique_ptr<Engine> engines[2] = {world.NewEngine(), world.NewEngine()};
  const auto idle_ms = [&] {
    return engines[0]->stats().idle_cpu_ms + engines[1]->stats().idle_cpu_ms;
  };
  Answer warm[2];
  for (int e = 0; e < 2; ++e) Ask(*engines[e], SampledRequest(0, 10, 5), &warm[e]);
  const int64_t begin_ns = os::ProcessCpuNs();
  const double idle_begin_ms = idle_ms();
  std::list<Answer> answers;
  for (int i = 0; i < 400; ++i) {
    const int first = i / 4 % 2;  // alone for a while, and both at once every other time
    for (int e = first; e < (i % 8 < 4 ? first + 1 : 2); ++e)
      ASSERT_TRUE(engines[e]->Submit(SampledRequest(i, 30, 60), answers.emplace_back().Fn()).ok());
    if (i % 4 != 3) continue;
    for (Answer& answer : answers) ASSERT_TRUE(answer.WaitFinish());
  }
  const double used_ms = static_cast<double>(os::ProcessCpuNs() - begin_ns) * 1e-6;
  double receipts_ms = idle_ms() - idle_begin_ms;
  for (const Answer& answer : answers) receipts_ms += answer.stats.cpu_ms;
  EXPECT_NEAR(receipts_ms, used_ms, 0.02 * used_ms);
}

// What the requests' receipts say is what the process used, tokenizing on other threads included.
TEST(Engine, ReceiptsAddUpToTheProcess) {
  World world({.threads = 2}, {.type = "Q8_0"});
  const auto engine = world.NewEngine();
  Answer warm;
  Ask(*engine, SampledRequest(0, 10, 5), &warm);
  const int64_t begin_ns = os::ProcessCpuNs();
  const double idle_begin_ms = engine->stats().idle_cpu_ms;
  std::list<Answer> answers;
  for (int i = 0; i < 400; ++i) {
    const auto tokens = world.model->Tokenize(std::string(2000, 'a' + i % 26), {});
    ASSERT_TRUE(tokens.ok());
    ASSERT_TRUE(engine->Submit(SampledRequest(i, 30, 30), answers.emplace_back().Fn()).ok());
    if (i % 10 == 9) {
      ASSERT_TRUE(answers.back().WaitFinish());
    }
  }
  for (Answer& answer : answers) ASSERT_TRUE(answer.WaitFinish());
  const double used_ms = static_cast<double>(os::ProcessCpuNs() - begin_ns) * 1e-6;
  double receipts_ms = engine->stats().idle_cpu_ms - idle_begin_ms;
  for (const Answer& answer : answers) receipts_ms += answer.stats.cpu_ms;
  EXPECT_NEAR(receipts_ms, used_ms, 0.02 * used_ms);
}

}  // namespace
}  // namespace lull
