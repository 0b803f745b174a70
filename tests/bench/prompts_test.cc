#include "bench/prompts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace lull {
namespace {

std::vector<BenchPrompt> Prompts(uint64_t seed, size_t count, const TokenCounter& counter = {}) {
  PromptOptions options;
  options.seed = seed;
  options.count = count;
  options.counter = counter;
  const auto prompts = MakeSecurityPrompts(options);
  EXPECT_TRUE(prompts.ok()) << prompts.status().ToString();
  return prompts.ok() ? *prompts : std::vector<BenchPrompt>();
}

TEST(SecurityPrompts, AFifthOfEachLengthInRandomOrder) {
  const auto prompts = Prompts(1, 500);
  ASSERT_EQ(prompts.size(), 500u);
  std::map<int, int> counts;
  int in_order = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ++counts[prompts[i].nominal_tokens];
    in_order += i >= 5 && prompts[i].nominal_tokens == prompts[i - 5].nominal_tokens;
  }
  EXPECT_EQ(counts, (std::map<int, int>{{40, 100}, {80, 100}, {160, 100}, {320, 100}, {640, 100}}));
  EXPECT_LT(in_order, 200);
}

TEST(SecurityPrompts, MeetTheirLengthsExactly) {
  for (const BenchPrompt& prompt : Prompts(7, 500))
    EXPECT_EQ(EstimateTokens(prompt.text), prompt.nominal_tokens) << prompt.text;
}

// Tokenizers that count more and less than the estimate: by pieces of three bytes, and by words.
TEST(SecurityPrompts, MeetTheirLengthsWithOtherTokenizers) {
  const TokenCounter threes = [](const std::string& text) -> Result<int64_t> {
    return static_cast<int64_t>((text.size() + 2) / 3);
  };
  for (const BenchPrompt& prompt : Prompts(7, 100, threes))
    EXPECT_EQ((prompt.text.size() + 2) / 3, static_cast<size_t>(prompt.nominal_tokens));
  const TokenCounter words = [](const std::string& text) -> Result<int64_t> {
    return 1 + std::count_if(text.begin(), text.end(), [](char c) { return c == ' '; });
  };
  for (const BenchPrompt& prompt : Prompts(7, 100, words))
    EXPECT_EQ(*words(prompt.text), prompt.nominal_tokens);
}

TEST(SecurityPrompts, ImpossibleLengthsAndFailingCountersAreErrors) {
  PromptOptions options;
  options.lengths = {5};
  EXPECT_EQ(MakeSecurityPrompts(options).error().code, ErrorCode::kUsage);
  options.lengths = {};
  EXPECT_EQ(MakeSecurityPrompts(options).error().code, ErrorCode::kUsage);
  options.lengths = {40};
  options.counter = [](const std::string&) -> Result<int64_t> {
    return Status(ErrorCode::kIo, "gone");
  };
  EXPECT_EQ(MakeSecurityPrompts(options).error().code, ErrorCode::kIo);
}

TEST(SecurityPrompts, EstimateIsNearATokenizer) {
  EXPECT_EQ(EstimateTokens(""), 0);
  EXPECT_EQ(EstimateTokens("Is this malicious"), 3);
  EXPECT_EQ(EstimateTokens("a 12:34"), 6);
}

TEST(SecurityPrompts, AreTheSameForASeedAndShareNoBeginning) {
  const auto first = Prompts(3, 200), again = Prompts(3, 200), other = Prompts(4, 200);
  std::set<std::string> texts, beginnings;
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].text, again[i].text);
    EXPECT_NE(first[i].text, other[i].text);
    texts.insert(first[i].text);
    beginnings.insert(first[i].text.substr(0, 60));
  }
  EXPECT_EQ(texts.size(), first.size());
  EXPECT_GE(beginnings.size(), 195u);
}

}  // namespace
}  // namespace lull
