#include "bench/prompts.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace lull {
namespace {

TEST(SecurityPrompts, AFifthOfEachLengthInRandomOrder) {
  const auto prompts = MakeSecurityPrompts(1, 500);
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

TEST(SecurityPrompts, MeetTheirLengths) {
  std::map<int, double> sums;
  for (const BenchPrompt& prompt : MakeSecurityPrompts(7, 500)) {
    const int tokens = EstimateTokens(prompt.text);
    EXPECT_LE(tokens, prompt.nominal_tokens * 1.1) << prompt.text;
    EXPECT_GE(tokens, prompt.nominal_tokens * 0.4) << prompt.text;
    sums[prompt.nominal_tokens] += tokens / 100.0;
  }
  for (const auto& [nominal, mean] : sums) EXPECT_NEAR(mean, nominal, 0.13 * nominal);
}

TEST(SecurityPrompts, EstimateIsNearATokenizer) {
  EXPECT_EQ(EstimateTokens(""), 0);
  EXPECT_EQ(EstimateTokens("Is this malicious"), 3);
  EXPECT_EQ(EstimateTokens("a 12:34"), 6);
}

TEST(SecurityPrompts, AreTheSameForASeedAndShareNoBeginning) {
  const auto first = MakeSecurityPrompts(3, 200), again = MakeSecurityPrompts(3, 200),
             other = MakeSecurityPrompts(4, 200);
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
