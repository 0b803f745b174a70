// What holds calls to their schemas in formats that are not JSON, and the marks that are tokens.
#include <gtest/gtest.h>

#include "service/chat_setup.h"
#include "tests/service/server_fixture.h"

namespace lull {
namespace {

class CallConstraintTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "call_constraint_" + std::to_string(getpid()) + ".gguf";
    TinyModelSpec spec;
    ASSERT_TRUE(WriteTinyModel(spec, path_).ok());
    auto loaded = LoadVocabularyOnly(path_);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    auto served = std::make_shared<ServedModel>();
    served->model = std::move(*loaded);
    served_ = served;
    style_.tools = {{"set_light", "",
                     Json::parse(R"({"type": "object", "properties": {"on": {"type": "boolean"}},
                                     "required": ["on"], "additionalProperties": false})"),
                     true}};
    style_.max_calls = 4;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::vector<int32_t> Tokens(const std::string& text) const {
    const auto tokens = served_->model->Tokenize(text, {});
    EXPECT_TRUE(tokens.ok());
    return tokens.ok() ? *tokens : std::vector<int32_t>();
  }
  void Accept(TokenConstraint& constraint, const std::string& text) const {
    for (const int32_t token : Tokens(text)) {
      const Status accepted = constraint.Accept(token);
      ASSERT_TRUE(accepted.ok()) << text << ": " << accepted.ToString();
    }
  }
  bool MayFollow(TokenConstraint& constraint, const std::string& text) const {
    const auto words = static_cast<size_t>(served_->model->info().vocab_size + 31) / 32;
    std::vector<uint32_t> mask(words);
    EXPECT_TRUE(constraint.FillMask(mask).ok());
    const auto token = static_cast<size_t>(Tokens(text).at(0));
    return (mask[token / 32] >> (token % 32) & 1) != 0;
  }

  std::string path_;
  ServedModelPtr served_;
  AnswerStyle style_;
};

TEST_F(CallConstraintTest, ACallBehindAFormatsMarkIsHeld) {
  auto made = NewCallConstraint(served_, style_.tools, {"[TOOL_CALLS]", "", {}});
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  TokenConstraint& constraint = **made;
  Accept(constraint, "Well [TOOL_CALL");
  EXPECT_TRUE(MayFollow(constraint, "a"));
  Accept(constraint, "S]");
  EXPECT_TRUE(MayFollow(constraint, "{"));
  EXPECT_FALSE(MayFollow(constraint, "a"));
  Accept(constraint, "{\"name\": \"set_light\", \"arguments\": {\"on\": ");
  EXPECT_TRUE(MayFollow(constraint, "t"));
  EXPECT_FALSE(MayFollow(constraint, "1"));
  Accept(constraint, "true}}");
  EXPECT_TRUE(MayFollow(constraint, "a"));
}

TEST_F(CallConstraintTest, ArgumentsOfAChannelAreHeld) {
  style_.format = &FormatOf("<|channel|><|message|>analysis");
  auto made = NewArgumentsConstraint(served_, style_);
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  TokenConstraint& constraint = **made;
  Accept(constraint, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant");
  EXPECT_TRUE(MayFollow(constraint, "a"));
  Accept(constraint, "<|channel|>commentary to=functions.set_light <|constrain|>json<|message|>");
  EXPECT_TRUE(MayFollow(constraint, "{"));
  EXPECT_FALSE(MayFollow(constraint, "a"));
  Accept(constraint, "{\"on\": false}");
  EXPECT_TRUE(MayFollow(constraint, "a"));
}

// A mark that is a control token of the file is part of the answer; one that is spelled is anyway.
TEST_F(CallConstraintTest, MarksThatAreControlTokensAreShown) {
  const std::vector<int32_t> control = Tokens("<|im_start|>");
  if (control.size() != 1) GTEST_SKIP() << "the tiny vocabulary has no such token";
  style_.reasoning = {"<|im_start|>", "[/THINK]"};
  const std::vector<int32_t> shown = ShownTokens(*served_->model, style_);
  ASSERT_FALSE(shown.empty());
  for (const int32_t token : shown) EXPECT_EQ(token, control[0]);
}

TEST_F(CallConstraintTest, AHeldAnswerBeginsWherePlainTextDoes) {
  ChatPrompt prompt;
  prompt.text = "assistant\n<think>\n";
  ToolParams none;
  const AnswerStyle held = StyleOf(*served_->model, none, true, &prompt);
  EXPECT_TRUE(held.reasoning.open.empty());
  EXPECT_EQ(held.format, &HermesFormat());
}

}  // namespace
}  // namespace lull
