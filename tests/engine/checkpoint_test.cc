// The whole path through the public classes, a vocabulary of 262,144 included, goes no 0.3 ms
// without asking the runtime's pacer.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/runtime_rep.h"
#include "tests/engine/world.h"
#include "tests/support/gap_meter.h"

namespace lull {
namespace {

using testing::Answer;
using testing::ExpectGaps;
using testing::GapMeter;
using testing::kMaxGapMs;

class EngineCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kGapsMeanSomething)
      GTEST_SKIP() << "a time bound means nothing under a sanitizer";
    TinyModelSpec spec;
    spec.type = "Q4_0";
    spec.vocab = 262'144;
    ASSERT_TRUE(WriteTinyModel(spec, directory_.File("model.gguf")).ok());
    runtime_ = Runtime::Create({.threads = 1}).value();
    runtime_->rep().test_pacer = &meter_;
    limit_ms_ = std::max(kMaxGapMs, 1.25 * testing::ClearHugePageMs());
  }
  void Load() { model_ = Model::Load(directory_.File("model.gguf"), *runtime_).value(); }

  TemporaryDirectory directory_;
  GapMeter meter_;
  double limit_ms_ = 0;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Model> model_;
};

TEST_F(EngineCheckpointTest, Loading) {
  ExpectGaps("load", meter_, limit_ms_, [&] {
    meter_.Stop();
    model_.reset();
    meter_.Start();
    Load();
  });
}

TEST_F(EngineCheckpointTest, TextAndTemplates) {
  Load();
  std::string text;
  while (text.size() < 1'000'000)
    text += "The quick brown fox, aged 12, jumps over the lazy dog's back. ";
  std::vector<int32_t> tokens;
  ExpectGaps("tokenize", meter_, kMaxGapMs, [&] {
    tokens = {};
    meter_.Start();
    tokens = model_->Tokenize(text, {}).value();
  });
  std::string back;
  ExpectGaps("detokenize", meter_, kMaxGapMs, [&] {
    back = {};
    meter_.Start();
    back = model_->Detokenize(tokens, true);
  });
  EXPECT_EQ(back, text);
  const std::string messages =
      "[{\"role\":\"user\",\"content\":\"" + text.substr(0, 300'000) + "\"}]";
  ExpectGaps("chat", meter_, kMaxGapMs,
             [&] { ASSERT_TRUE(model_->RenderChat(messages, "", true).ok()); });
}

TEST_F(EngineCheckpointTest, Requests) {
  Load();
  auto engine = Engine::Create(*model_, *runtime_, {.max_context_tokens = 512}).value();
  Request request;
  for (int i = 0; i < 300; ++i) request.prompt_tokens.push_back(i * 7 % 256 + 3);
  request.max_new_tokens = 3;
  request.ignore_eog = true;
  request.sampling.temperature = 0.8;
  request.sampling.top_k = 5000;
  request.sampling.top_p = 0.95;
  request.sampling.presence_penalty = 0.5;
  request.logprobs = 20;
  ExpectGaps("request", meter_, limit_ms_, [&] {
    Answer answer;
    ASSERT_TRUE(engine->Submit(request, answer.Fn()).ok());
    ASSERT_TRUE(answer.WaitFinish());
    EXPECT_EQ(answer.tokens.size(), 3u);
  });
}

}  // namespace
}  // namespace lull
