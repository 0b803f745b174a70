#include "tokenizer/word_pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/pretokenizer.h"

namespace lull {
namespace {

class CountingPacer : public Pacer {
 public:
  void Checkpoint() override { ++count; }
  bool capped() const override { return false; }
  int64_t count = 0;
};

std::vector<uint32_t> Decode(std::string_view text) {
  std::vector<uint32_t> codes;
  for (size_t pos = 0; pos < text.size();) codes.push_back(NextCodePoint(text, &pos));
  return codes;
}

std::string Join(const std::vector<uint32_t>& codes, const std::vector<uint32_t>& ends) {
  std::string joined;
  uint32_t begin = 0;
  for (uint32_t end : ends) {
    if (begin > 0) joined += '|';
    for (; begin < end; ++begin) AppendUtf8(codes[begin], &joined);
  }
  return joined;
}

std::string SplitBy(std::string_view pattern, std::string_view text) {
  Result<WordPattern> compiled = WordPattern::Compile(pattern);
  EXPECT_TRUE(compiled.ok()) << compiled.status().ToString();
  if (!compiled.ok()) return {};
  const ExecContext ctx;
  WorkMeter meter(ctx);
  std::vector<uint32_t> ends;
  const std::vector<uint32_t> codes = Decode(text);
  compiled->Split(codes, 0, static_cast<uint32_t>(codes.size()), &meter, &ends);
  return Join(codes, ends);
}

std::string Words(std::string_view name, std::string_view text) {
  Result<Pretokenizer> pretokenizer = Pretokenizer::Create(name);
  EXPECT_TRUE(pretokenizer.ok()) << pretokenizer.status().ToString();
  if (!pretokenizer.ok()) return {};
  const ExecContext ctx;
  WorkMeter meter(ctx);
  std::vector<uint32_t> ends;
  const std::vector<uint32_t> codes = Decode(text);
  pretokenizer->Split(codes, &meter, &ends);
  return Join(codes, ends);
}

TEST(WordPattern, MatchesAndGaps) {
  EXPECT_EQ(SplitBy("[0-9]", "ab12c"), "ab|1|2|c");
  EXPECT_EQ(SplitBy("[0-9]{1,3}", "1234567"), "123|456|7");
  EXPECT_EQ(SplitBy("x", ""), "");
  EXPECT_EQ(SplitBy("x?", "aab"), "aab");  // an empty match is no match
}

TEST(WordPattern, FirstAlternativeWinsThoughShorter) {
  EXPECT_EQ(SplitBy("ab|abc", "abcabc"), "ab|c|ab|c");
}

TEST(WordPattern, GivesBackWhatLaterItemsNeed) {
  EXPECT_EQ(SplitBy("\\s*[\\r\\n]+", "  \n  \n  x"), "  \n  \n|  x");
  EXPECT_EQ(SplitBy("\\s+(?!\\S)|\\s+", "   x"), "  | |x");
  EXPECT_EQ(SplitBy("[a-z]*[a-c][x]", "zzcxz"), "zzcx|z");
  EXPECT_EQ(SplitBy("a{2,4}ab", "aaaab"), "aaaab");
}

TEST(WordPattern, GroupsAndCase) {
  EXPECT_EQ(SplitBy("(?i:'s|'ll)", "I'LL's"), "I|'LL|'s");
  EXPECT_EQ(SplitBy("(?:ab)+", "xababa"), "x|abab|a");
}

TEST(WordPattern, SetsOfClasses) {
  EXPECT_EQ(SplitBy("\\p{L}+", "añb中1"), "añb中|1");
  EXPECT_EQ(SplitBy("[^\\s\\p{L}]+", "a+\xE2\x82\xAC b"), "a|+\xE2\x82\xAC| b");
  EXPECT_EQ(SplitBy("[\\p{L}&&[^a-z]]+", "abCDÉf"), "ab|CDÉ|f");
  EXPECT_EQ(SplitBy("\\s+", "a\u3000\u00A0b"), "a|\u3000\u00A0|b");
  // White space is no member of a range beyond ASCII.
  EXPECT_EQ(SplitBy("[\u2FFF-\u3002]+", "\u3001\u3000\u3002"), "\u3001|\u3000|\u3002");
}

TEST(WordPattern, EndOfPiece) { EXPECT_EQ(SplitBy("\\s+$", " a  "), " a|  "); }

TEST(WordPattern, BadPatternsAreErrors) {
  for (const char* pattern : {"(", ")", "(a", "[a", "a{", "a{x}", "\\p{Q}", "(?=ab)", "\\", "*"}) {
    const auto compiled = WordPattern::Compile(pattern);
    // "*" alone is a literal; everything else is refused.
    EXPECT_EQ(compiled.ok(), std::string(pattern) == "*") << pattern;
  }
  EXPECT_FALSE(WordPattern::Compile(std::string(100, '(') + std::string(100, ')')).ok());
}

TEST(Pretokenizer, EveryRowCompiles) {
  const std::vector<std::string_view> names = Pretokenizer::Names();
  EXPECT_GT(names.size(), 80u);
  for (std::string_view name : names) EXPECT_TRUE(Pretokenizer::Create(name).ok()) << name;
}

TEST(Pretokenizer, UnknownNameIsNamed) {
  const auto result = Pretokenizer::Create("no-such");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(result.error().message.find("no-such"), std::string::npos);
}

TEST(Pretokenizer, WellKnownSplits) {
  EXPECT_EQ(Words("gpt-2", "Hello world's 1234  x"), "Hello| world|'s| 1234| | x");
  EXPECT_EQ(Words("smollm", "a 1234"), "a| |1|2|3|4");
  EXPECT_EQ(Words("llama-bpe", "I'LL pay 12345!\n\n x"), "I|'LL| pay| |123|45|!\n\n| x");
  EXPECT_EQ(Words("qwen2", "x=12"), "x|=|1|2");
  EXPECT_EQ(Words("gpt-4o", "HTTPServer Donald's"), "HTTPServer| Donald's");
  EXPECT_EQ(Words("tekken", "camelCaseABC"), "camel|Case|ABC");
  EXPECT_EQ(Words("deepseek-llm", "中文 abc 123"), "中文| abc| |123");
  EXPECT_EQ(Words("superbpe", "a1234567"), "a|1|234|567");
  EXPECT_EQ(Words("gemma4", "a b\n\nc"), "a b|\n\n|c");
}

// Work, counted in checkpoints, must grow as the text does: no row may search twice as long per
// character in a text ten times as long.
TEST(Pretokenizer, LinearOnLongRuns) {
  const std::string units[] = {" ",   "a",  "A",      "1",      "\n", "'",
                               " \n", "Aa", "\u4E2D", "\u0301", " 1"};
  for (std::string_view name : Pretokenizer::Names()) {
    const Result<Pretokenizer> pretokenizer = Pretokenizer::Create(name);
    ASSERT_TRUE(pretokenizer.ok());
    for (const std::string& unit : units) {
      int64_t work[2];
      for (int i = 0; i < 2; ++i) {
        std::string text;
        const size_t bytes = i == 0 ? 10000 : 100000;
        while (text.size() < bytes) text += unit;
        text += "x";
        CountingPacer pacer;
        ExecContext ctx;
        ctx.pacer = &pacer;
        WorkMeter meter(ctx);
        std::vector<uint32_t> ends;
        pretokenizer->Split(Decode(text), &meter, &ends);
        work[i] = pacer.count;
      }
      EXPECT_LT(work[1], 20 * work[0] + 40) << name << " on '" << unit << "'";
    }
  }
}

}  // namespace
}  // namespace lull
