// Answers under a grammar, from the request to the text.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <list>
#include <thread>

#include "tests/engine/world.h"
#include "tests/grammar/schema_validator.h"

namespace lull {
namespace {

using grammar::testing::Document;
using grammar::testing::SchemaValidator;
using testing::Answer;
using testing::Prompt;
using testing::World;

// Bounded everywhere, so that a model of random weights comes to an end.
constexpr char kSchema[] = R"({"type":"object","properties":{
  "kind":{"enum":["circle","square"]},
  "name":{"type":"string","minLength":1,"maxLength":6},
  "size":{"type":"integer","minimum":1,"maximum":500},
  "on":{"type":["boolean","null"]},
  "points":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"array","minItems":2,"maxItems":2,
    "items":{"type":"integer","minimum":-9,"maximum":9}}},
  "note":{"type":"string","pattern":"^[a-z]{2,5}( [a-z]{1,4})?$"}},
  "required":["kind","name","size","points"],"additionalProperties":false})";

GrammarSpec Schema(const char* text) { return {GrammarSpec::Kind::kJsonSchema, text, {}, {}, {}}; }

Request ConstrainedRequest(const Model& model, const GrammarSpec& spec, uint64_t seed) {
  Request request;
  request.prompt_tokens = Prompt(static_cast<int>(seed), 12);
  request.max_new_tokens = 400;
  request.sampling.temperature = seed == 0 ? 0.0 : 1.0;
  request.sampling.seed = seed;
  auto constraint = model.NewConstraint(spec);
  EXPECT_TRUE(constraint.ok()) << constraint.status().ToString();
  if (constraint.ok()) request.constraint = *constraint;
  return request;
}

bool Ended(const Answer& answer) {
  return answer.reason == FinishReason::kStop || answer.reason == FinishReason::kEog;
}

TEST(EngineConstraint, EveryAnswerSatisfiesTheSchema) {
  for (const char* tokenizer : {"gpt2", "llama"}) {
    World world({}, {.vocab = 320, .tokenizer = tokenizer});
    const auto engine = world.NewEngine({.max_sequences = 8});
    std::list<Answer> answers;
    constexpr uint64_t kRequests = 24;
    for (uint64_t seed = 0; seed < kRequests; ++seed) {
      const auto id = engine->Submit(ConstrainedRequest(*world.model, Schema(kSchema), seed),
                                     answers.emplace_back().Fn());
      ASSERT_TRUE(id.ok()) << id.status().ToString();
    }
    const Document schema = Document::parse(kSchema);
    for (Answer& answer : answers) {
      ASSERT_TRUE(answer.WaitFinish());
      EXPECT_TRUE(Ended(answer)) << FinishReasonName(answer.reason) << answer.error.message;
      SchemaValidator validator(schema);
      EXPECT_TRUE(validator.Accepts(answer.text)) << answer.text << ": " << validator.why();
    }
  }
}

TEST(EngineConstraint, RegexAndChoice) {
  World world({}, {.vocab = 320});
  const auto engine = world.NewEngine();
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Answer date, mood;
    const GrammarSpec regex = {GrammarSpec::Kind::kRegex, "20[0-9]{2}-(0[1-9]|1[0-2])", {}, {}, {}};
    const GrammarSpec choice = {GrammarSpec::Kind::kChoice, {}, {"good", "bad"}, "<", ">"};
    ASSERT_TRUE(engine->Submit(ConstrainedRequest(*world.model, regex, seed), date.Fn()).ok());
    ASSERT_TRUE(engine->Submit(ConstrainedRequest(*world.model, choice, seed), mood.Fn()).ok());
    ASSERT_TRUE(date.WaitFinish() && mood.WaitFinish());
    EXPECT_TRUE(std::regex_match(date.text, std::regex("20[0-9]{2}-(0[1-9]|1[0-2])"))) << date.text;
    EXPECT_TRUE(mood.text == "<good>" || mood.text == "<bad>") << mood.text;
  }
}

// The mask depends on the request alone, so its answer does too.
TEST(EngineConstraint, SameTokensAloneAndBesideOthers) {
  World world({.threads = 2}, {.vocab = 320});
  const auto request = [&](uint64_t seed) {
    return ConstrainedRequest(*world.model, Schema(kSchema), seed);
  };
  Answer alone;
  {
    const auto engine = world.NewEngine({.max_sequences = 1});
    ASSERT_TRUE(engine->Submit(request(3), alone.Fn()).ok());
    ASSERT_TRUE(alone.WaitFinish());
  }
  const auto engine = world.NewEngine({.max_sequences = 16, .prefill_chunk_tokens = 5});
  std::list<Answer> others;
  for (uint64_t seed = 10; seed < 25; ++seed) {
    ASSERT_TRUE(engine->Submit(request(seed), others.emplace_back().Fn()).ok());
  }
  Answer beside;
  ASSERT_TRUE(engine->Submit(request(3), beside.Fn()).ok());
  ASSERT_TRUE(beside.WaitFinish());
  EXPECT_EQ(beside.tokens, alone.tokens);
  EXPECT_EQ(beside.text, alone.text);
  for (Answer& other : others) ASSERT_TRUE(other.WaitFinish());
}

TEST(EngineConstraint, WhatIsNotUnderstoodIsAnErrorBeforeTheFirstToken) {
  World world;
  const auto constraint = world.model->NewConstraint(Schema(R"({"not":{"type":"null"}})"));
  ASSERT_FALSE(constraint.ok());
  EXPECT_EQ(constraint.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(constraint.error().message.find("not"), std::string::npos);
}

TEST(EngineConstraint, BiasAgainstTheGrammarIsAnErrorNotAnOpenAnswer) {
  World world({}, {.vocab = 320});
  const auto engine = world.NewEngine();
  Request request =
      ConstrainedRequest(*world.model, {GrammarSpec::Kind::kChoice, {}, {"z"}, {}, {}}, 1);
  for (int32_t token = 0; token < 320; ++token) {
    if (world.model->Detokenize({token}, false) == "z") {
      request.sampling.logit_bias.push_back({token, -std::numeric_limits<double>::infinity()});
    }
  }
  Answer answer;
  ASSERT_TRUE(engine->Submit(request, answer.Fn()).ok());
  ASSERT_TRUE(answer.WaitFinish());
  EXPECT_EQ(answer.reason, FinishReason::kError);
  EXPECT_EQ(answer.text, "");
}

TEST(EngineConstraint, ConstraintsAreMadeFromManyThreads) {
  World world({}, {.vocab = 320});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        auto constraint = world.model->NewConstraint(
            Schema(round % 2 == 0 ? kSchema : R"({"type":"array","items":{"type":"integer"}})"));
        ASSERT_TRUE(constraint.ok());
        std::vector<uint32_t> mask(10);
        EXPECT_TRUE((*constraint)->FillMask(mask).ok()) << i;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EngineConstraint, RealModelWritesWhatTheSchemaSays) {
  const char* folder = std::getenv("LULL_TEST_MODELS");
  const std::string path = folder == nullptr ? "" : std::string(folder) + "/smollm2.gguf";
  if (folder == nullptr || !std::filesystem::exists(path)) {
    GTEST_SKIP() << "set LULL_TEST_MODELS to a folder with smollm2.gguf";
  }
  auto runtime = Runtime::Create({});
  ASSERT_TRUE(runtime.ok());
  const auto model = Model::Load(path, **runtime);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const auto engine = Engine::Create(**model, **runtime, {});
  ASSERT_TRUE(engine.ok());
  for (uint64_t seed = 0; seed < 3; ++seed) {
    Request request = ConstrainedRequest(**model, Schema(kSchema), seed);
    request.prompt_tokens = *(*model)->TokenizePrompt("A shape as JSON:\n");
    Answer answer;
    ASSERT_TRUE((*engine)->Submit(request, answer.Fn()).ok());
    ASSERT_TRUE(answer.WaitFinish());
    EXPECT_TRUE(Ended(answer));
    const Document schema = Document::parse(kSchema);
    SchemaValidator validator(schema);
    EXPECT_TRUE(validator.Accepts(answer.text)) << answer.text << ": " << validator.why();
  }
}

}  // namespace
}  // namespace lull
