// The declared budget, kept by runtime, model and engine together.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/os/os.h"
#include "budget/memory_book.h"
#include "tests/engine/world.h"

namespace lull {
namespace {

using testing::Answer;
using testing::SampledRequest;
using testing::World;

std::unique_ptr<Runtime> NewRuntime(const Budget& budget, int threads = 1) {
  auto runtime = Runtime::Create({.threads = threads, .budget = budget});
  EXPECT_TRUE(runtime.ok()) << runtime.status().ToString();
  return std::move(*runtime);
}

Budget Ram(int64_t bytes) {
  Budget budget;
  budget.ram_bytes = bytes;
  return budget;
}

class MemoryPlanTest : public ::testing::Test {
 protected:
  World world{{.threads = 1}};
  const std::string path = world.directory.File("tiny.gguf");
  const int64_t loaded_bytes = world.runtime->memory().planned_bytes;
};

TEST_F(MemoryPlanTest, LedgerFollowsWhatLives) {
  const MemoryLedger before = world.runtime->memory();
  EXPECT_EQ(before.packed, world.model->info().weight_bytes);
  EXPECT_EQ(before.weights, 0);  // no pack file
  EXPECT_EQ(before.kv, 0);
  EXPECT_GT(before.other, 0);
  EXPECT_GT(before.pss_bytes, 0);
  EXPECT_EQ(before.limit_bytes, 0);
  {
    const auto engine = world.NewEngine({.max_context_tokens = 256, .max_sequences = 4});
    const MemoryLedger with = world.runtime->memory();
    EXPECT_EQ(with.kv, engine->stats().kv.bytes_total);
    EXPECT_GT(with.activations, 0);
    EXPECT_EQ(with.planned_bytes,
              with.weights + with.packed + with.kv + with.activations + with.other);
  }
  EXPECT_EQ(world.runtime->memory().planned_bytes, before.planned_bytes);
  world.model.reset();
  EXPECT_EQ(world.runtime->memory().packed, 0);
}

TEST_F(MemoryPlanTest, AModelThatDoesNotFitIsRefusedWithTheSum) {
  const auto runtime = NewRuntime(Ram(loaded_bytes - 1));
  const auto refused = Model::Load(path, *runtime);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBudgetImpossible);
  EXPECT_EQ(refused.error().where, "ram");
  EXPECT_NE(refused.error().message.find("weights"), std::string::npos);
  EXPECT_NE(refused.error().message.find(" = "), std::string::npos) << refused.error().message;
  const std::string& hint = refused.error().hint;
  const auto fits = ParseByteCount(hint.substr(0, hint.find(' ')));
  ASSERT_TRUE(fits.ok()) << hint;
  EXPECT_TRUE(Model::Load(path, *NewRuntime(Ram(*fits))).ok());
  EXPECT_EQ(runtime->memory().packed, 0);
}

TEST_F(MemoryPlanTest, APoolLeftOpenIsCutToTheRam) {
  const EngineOptions open{.default_context_tokens = 512, .max_sequences = 4};
  const int64_t whole = [&] {
    const auto engine = world.NewEngine(open);
    EXPECT_EQ(engine->stats().kv.pages_total, 4 * 512 / 64);
    return world.runtime->memory().planned_bytes;
  }();
  const int64_t kv = whole - loaded_bytes;
  for (const double share : {0.9, 0.7}) {
    const int64_t limit = loaded_bytes + static_cast<int64_t>(share * static_cast<double>(kv));
    ASSERT_TRUE(world.runtime->SetBudget(Ram(limit)).ok());
    const auto engine = Engine::Create(*world.model, *world.runtime, open);
    if (!engine.ok()) {
      EXPECT_EQ(engine.error().code, ErrorCode::kBudgetImpossible);
      continue;
    }
    const MemoryLedger ledger = world.runtime->memory();
    EXPECT_LE(ledger.planned_bytes, limit);
    EXPECT_LT((*engine)->stats().kv.pages_total, 4 * 512 / 64);
    Answer answer;
    ASSERT_TRUE((*engine)->Submit(SampledRequest(0, 20, 5), answer.Fn()).ok());
    ASSERT_TRUE(answer.WaitFinish());
    EXPECT_EQ(answer.tokens.size(), 5u);
  }
}

TEST_F(MemoryPlanTest, WhatWasAskedForIsRefusedAndTheHintFits) {
  EngineOptions asked{.max_context_tokens = 512, .max_sequences = 2, .prefill_chunk_tokens = 16};
  int64_t kv = 0;
  const int64_t whole = [&] {
    asked.kv_pool_tokens = 512;
    const auto engine = world.NewEngine(asked);
    kv = world.runtime->memory().kv;
    return world.runtime->memory().planned_bytes;
  }();
  ASSERT_TRUE(world.runtime->SetBudget(Ram(whole - kv / 2)).ok());
  for (const bool pool : {false, true}) {
    asked.kv_pool_tokens = pool ? 512 : 0;
    auto refused = Engine::Create(*world.model, *world.runtime, asked);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().where, "ram");
    const std::string hint = refused.error().hint;
    EXPECT_NE(hint.find(pool ? "--kv-tokens" : "--ctx"), std::string::npos) << hint;
    const int64_t fits = std::stoll(hint.substr(hint.find(" of ") + 4));
    EXPECT_GE(fits, 64);
    EngineOptions smaller = asked;
    (pool ? smaller.kv_pool_tokens : smaller.max_context_tokens) = fits;
    if (pool) smaller.max_context_tokens = 0;
    auto engine = Engine::Create(*world.model, *world.runtime, smaller);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  }
}

TEST_F(MemoryPlanTest, ASessionsShareCutsOrRefusesTheContext) {
  const int64_t per_token = world.model->info().kv_bytes_per_token;
  Budget budget;
  budget.kv_per_session_bytes = 200 * per_token;  // three pages and a bit
  ASSERT_TRUE(world.runtime->SetBudget(budget).ok());
  EXPECT_EQ(world.NewEngine()->max_context_tokens(), 192);
  const auto refused = Engine::Create(*world.model, *world.runtime, {.max_context_tokens = 512});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().where, "kv_per_session");
  EXPECT_NE(refused.error().hint.find("a context of 192 tokens"), std::string::npos)
      << refused.error().hint;
  budget.kv_per_session_bytes = 10 * per_token;  // less than a page
  ASSERT_TRUE(world.runtime->SetBudget(budget).ok());
  EXPECT_EQ(Engine::Create(*world.model, *world.runtime, {}).status().code(),
            ErrorCode::kBudgetImpossible);
}

// A line that changes while the engine runs: answers are cut at it, prompts above it are refused.
TEST_F(MemoryPlanTest, ASessionsShareHoldsForEachRequest) {
  const int64_t per_token = world.model->info().kv_bytes_per_token;
  const auto engine = world.NewEngine({.prefix_cache = false});
  Budget budget;
  budget.kv_per_session_bytes = 130 * per_token;  // two pages
  ASSERT_TRUE(world.runtime->SetBudget(budget).ok());
  Answer cut;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 100, 400), cut.Fn()).ok());
  ASSERT_TRUE(cut.WaitFinish());
  EXPECT_EQ(cut.reason, FinishReason::kLength);
  EXPECT_EQ(cut.tokens.size(), 28u);
  EXPECT_LE(cut.stats.kv_bytes, budget.kv_per_session_bytes);
  Answer none;
  const auto refused = engine->Submit(SampledRequest(0, 128, 1), none.Fn());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kContextOverflow);
  EXPECT_NE(refused.error().message.find("a session may hold " +
                                         MegabytesText(budget.kv_per_session_bytes)),
            std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().hint.find("at most 127 tokens"), std::string::npos);
  EXPECT_EQ(engine->stats().requests_invalid, 1);
  ASSERT_TRUE(world.runtime->SetBudget({}).ok());
  Answer free;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 128, 100), free.Fn()).ok());
  ASSERT_TRUE(free.WaitFinish());
  EXPECT_EQ(free.tokens.size(), 100u);
}

// Of a window what is held counts: a session of little more than a request was seen to hold answers
// it whole, and one of half of that does not.
TEST(SessionShare, CountsWindowsAsTheyAreHeld) {
  World world({.threads = 1}, {.arch = "gemma3"});
  const auto engine = world.NewEngine({.prefix_cache = false});
  Answer whole;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 400, 50), whole.Fn()).ok());
  ASSERT_TRUE(whole.WaitFinish());
  Budget budget;
  budget.kv_per_session_bytes = whole.stats.kv_bytes * 5 / 4;
  ASSERT_TRUE(world.runtime->SetBudget(budget).ok());
  Answer again;
  ASSERT_TRUE(engine->Submit(SampledRequest(0, 400, 50), again.Fn()).ok());
  ASSERT_TRUE(again.WaitFinish());
  EXPECT_EQ(again.tokens, whole.tokens);
  budget.kv_per_session_bytes = whole.stats.kv_bytes / 2;
  ASSERT_TRUE(world.runtime->SetBudget(budget).ok());
  Answer none;
  EXPECT_FALSE(engine->Submit(SampledRequest(0, 400, 50), none.Fn()).ok());
}

TEST_F(MemoryPlanTest, TheLedgerTellsWhatThePrefixCacheHolds) {
  {
    const auto engine = world.NewEngine();
    Answer answer;
    ASSERT_TRUE(engine->Submit(SampledRequest(0, 140, 5), answer.Fn()).ok());
    ASSERT_TRUE(answer.WaitFinish());
    const int64_t cached = world.runtime->memory().prefix_cache;
    EXPECT_GT(cached, 0);
    EXPECT_EQ(cached, engine->stats().kv.bytes_cached);
    EXPECT_LE(cached, world.runtime->memory().kv);
  }
  EXPECT_EQ(world.runtime->memory().prefix_cache, 0);
}

TEST_F(MemoryPlanTest, GrammarsAreAdmittedOncePerModel) {
  const auto grammar = [&](const char* pattern) {
    GrammarSpec spec;
    spec.kind = GrammarSpec::Kind::kRegex;
    spec.text = pattern;
    return world.model->NewConstraint(spec);
  };
  ASSERT_TRUE(world.runtime->SetBudget(Ram(loaded_bytes + 1'000'000)).ok());
  const auto refused = grammar("[a-z]+");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBudgetImpossible);
  EXPECT_EQ(refused.error().where, "ram");
  // A pool that was left open leaves room for them.
  ASSERT_TRUE(world.runtime->SetBudget(Ram(loaded_bytes + 40'000'000)).ok());
  const auto engine = world.NewEngine();
  const int64_t before = world.runtime->memory().other;
  ASSERT_TRUE(grammar("[a-z]+").ok());
  const int64_t with = world.runtime->memory().other;
  EXPECT_GT(with, before);
  ASSERT_TRUE(grammar("[0-9]+").ok());
  EXPECT_EQ(world.runtime->memory().other, with);
  EXPECT_LE(world.runtime->memory().planned_bytes, loaded_bytes + 40'000'000);
}

TEST_F(MemoryPlanTest, ABudgetThatCannotBeKeptChangesNothing) {
  const Budget before = world.runtime->budget();
  Budget budget = Ram(loaded_bytes - 1);
  budget.cpu.mean_share = 0.5;
  EXPECT_EQ(world.runtime->SetBudget(budget).error().where, "ram");
  budget = {};
  budget.p95_latency_s = 1e-12;
  EXPECT_EQ(world.runtime->SetBudget(budget).error().where, "p95");
  budget = {};
  budget.cpu = {0.5, 0.5};
  EXPECT_EQ(world.runtime->SetBudget(budget).error().where, "cpu_p99");
  budget = {};
  budget.p95_latency_s = 0.001;
  budget.mem_bw_bytes_per_s = 1.0;
  EXPECT_EQ(world.runtime->SetBudget(budget).error().where, "mem_bw");
  EXPECT_EQ(world.runtime->budget(), before);
  world.model.reset();  // what it cost no longer counts
  EXPECT_TRUE(world.runtime->SetBudget(budget).ok());
}

TEST(BudgetOfAModel, AnImpossibleLatencyIsRefusedBeforeLoading) {
  const World world({.threads = 1});
  Budget budget;
  budget.cpu.mean_share = 0.10;
  budget.p95_latency_s = 1e-9;
  const auto runtime = NewRuntime(budget);
  const auto refused = Model::Load(world.directory.File("tiny.gguf"), *runtime);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBudgetImpossible);
  EXPECT_EQ(runtime->memory().packed, 0);
}

TEST(BytesMoved, ADecodedTokenReadsTheWeightsOnce) {
  for (const char* type : {"Q4_1", "Q4_K", "F16"}) {
    const World world({.threads = 2}, {.type = type});
    const auto decoder = Decoder::Create(*world.model, *world.runtime, {}).value();
    const auto sequence = decoder->OpenSequence();
    ASSERT_TRUE(sequence.ok());
    std::vector<float> logits(static_cast<size_t>(world.model->info().vocab_size));
    const int32_t row = 0;
    for (int32_t position = 0; position < 3; ++position) {
      const BatchRow batch{*sequence, position, 5};
      const int64_t before = world.runtime->cpu_meter().bytes_moved;
      ASSERT_TRUE(decoder->Forward({&batch, 1}, {&row, 1}, logits.data()).ok());
      const int64_t moved = world.runtime->cpu_meter().bytes_moved - before;
      const int64_t page = 64 * world.model->info().kv_bytes_per_token;
      EXPECT_GE(moved, world.model->info().active_bytes_per_token) << type;
      EXPECT_LE(moved, world.model->info().active_bytes_per_token + 2 * page) << type;
    }
  }
}

std::unique_ptr<Engine> EngineOf(const World& world) {
  return Engine::Create(*world.model, *world.runtime, {}).value();
}

// Tokens and log-probabilities of some requests at once.
std::vector<float> Answers(Engine& engine, const std::function<void()>& meanwhile = nullptr) {
  std::vector<Answer> answers(3);
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(
        engine.Submit(SampledRequest(i, 30 + 40 * i, 24), answers[static_cast<size_t>(i)].Fn())
            .ok());
  if (meanwhile) meanwhile();
  std::vector<float> all;
  for (Answer& answer : answers) {
    EXPECT_TRUE(answer.WaitFinish());
    EXPECT_EQ(answer.tokens.size(), 24u);
    for (const int32_t token : answer.tokens) all.push_back(static_cast<float>(token));
    all.insert(all.end(), answer.chosen.begin(), answer.chosen.end());
  }
  return all;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(BudgetBits, SameAtEveryShareAndBandwidth) {
  const World free_world({.threads = 2}, {.type = "Q4_1"});
  const auto free_engine = EngineOf(free_world);
  const std::vector<float> want = Answers(*free_engine);
  for (const double share : {0.05, 0.10, 0.35, 1.0}) {
    const World world({.threads = 2, .budget = {.cpu = {.mean_share = share}}}, {.type = "Q4_1"});
    EXPECT_TRUE(SameBits(Answers(*EngineOf(world)), want)) << share;
  }
  // So low that a sanitizer on a busy machine is held too.
  const World slow({.threads = 2, .budget = {.mem_bw_bytes_per_s = 20e6}}, {.type = "Q4_1"});
  EXPECT_TRUE(SameBits(Answers(*EngineOf(slow)), want));
  EXPECT_GT(slow.runtime->cpu_meter().throttled_ns, 0);
}

TEST(BudgetBits, SameWhileTheBudgetChanges) {
  const World world({.threads = 2, .budget = {.cpu = {.mean_share = 0.35}}}, {.type = "Q4_1"});
  const auto engine = EngineOf(world);
  const std::vector<float> want = Answers(*engine);
  const std::vector<float> got = Answers(*engine, [&] {
    for (int i = 0; i < 40; ++i) {
      Budget budget;
      if (i % 4 != 3) budget.cpu.mean_share = i % 2 == 0 ? 0.10 : 0.35;
      if (i % 3 == 0) budget.mem_bw_bytes_per_s = 1e9;
      EXPECT_TRUE(world.runtime->SetBudget(budget).ok());
      os::SleepUntilNs(os::MonotonicNs() + 2'000'000);
    }
    EXPECT_TRUE(world.runtime->SetBudget({}).ok());
  });
  EXPECT_TRUE(SameBits(got, want));
}

TEST(BudgetUsageTest, SaysWhatIsUsedAndLeft) {
  const World world(
      {.threads = 1,
       .budget = {
           .cpu = {.mean_share = 0.5}, .mem_bw_bytes_per_s = 1e12, .ram_bytes = int64_t{1} << 40}});
  const auto engine = EngineOf(world);
  Answers(*engine);
  const BudgetUsage usage = world.runtime->usage();
  EXPECT_GT(usage.seconds, 0.0);
  EXPECT_GT(usage.cpu_share, 0.0);
  EXPECT_NEAR(usage.cpu_share_left, std::max(0.5 - usage.cpu_share, 0.0), 1e-9);
  EXPECT_NEAR(usage.cpu_share_allowed, 0.5, 1e-6);
  EXPECT_GT(usage.bytes_per_s, 0.0);
  EXPECT_NEAR(usage.bytes_per_s + usage.bytes_per_s_left, 1e12, 1.0);
  EXPECT_GT(usage.ram_bytes, 0);
  EXPECT_EQ(usage.ram_bytes + usage.ram_bytes_left, int64_t{1} << 40);
  EXPECT_EQ(usage.courtesy_factor, 1.0);
}

}  // namespace
}  // namespace lull
