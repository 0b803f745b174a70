#include "decode/stop.h"

#include <gtest/gtest.h>

#include <random>

namespace lull {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
};

// Feeds text in pieces of the given sizes (repeated).
Outcome Feed(const std::vector<std::string>& stop, const std::string& text, size_t piece) {
  StopMatcher matcher(stop);
  Outcome outcome;
  for (size_t i = 0; i < text.size(); i += piece)
    outcome.text += matcher.Push(text.substr(i, piece));
  outcome.stopped = matcher.stopped();
  outcome.text += matcher.Finish();
  return outcome;
}

// By definition: the match that ends first, the longest of those.
Outcome Naive(const std::vector<std::string>& stop, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& s : stop) {
      if (s.size() <= end && text.compare(end - s.size(), s.size(), s) == 0) {
        longest = std::max(longest, s.size());
      }
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBeAStop) {
  StopMatcher matcher({"</answer>"});
  EXPECT_EQ(matcher.Push("a < b"), "a < b");
  EXPECT_EQ(matcher.Push("c</ans"), "c");
  EXPECT_EQ(matcher.Push("</"), "</ans");
  EXPECT_EQ(matcher.Push("answer>tail"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, WithoutStopsTextPassesThrough) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, FinishGivesTheRest) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.Push("xsto"), "x");
  EXPECT_EQ(matcher.Finish(), "sto");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcher, EqualsTheDefinitionOnRandomText) {
  std::mt19937 rng(3);
  const auto random_text = [&](size_t n, int letters) {
    std::string s;
    for (size_t i = 0; i < n; ++i) s += static_cast<char>('a' + rng() % letters);
    return s;
  };
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stop(rng() % 5);
    for (std::string& s : stop) s = random_text(1 + rng() % 7, 2);
    const std::string text = random_text(rng() % 40, 2 + static_cast<int>(rng() % 2));
    const Outcome want = Naive(stop, text);
    for (size_t piece : {1u, 2u, 5u, 100u}) {
      const Outcome got = Feed(stop, text, piece);
      ASSERT_EQ(got.text, want.text) << text;
      ASSERT_EQ(got.stopped, want.stopped) << text;
    }
  }
}

TEST(StopMatcher, CharactersAreNeverCut) {
  StopMatcher matcher({"é!"});
  EXPECT_EQ(matcher.Push("caf"), "caf");
  EXPECT_EQ(matcher.Push("é"), "");
  EXPECT_EQ(matcher.Push("è"), "éè");  // shares its first byte with the stop string
  EXPECT_EQ(matcher.Push("é!"), "");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcher, LinearOnRepetitiveText) {
  const std::string stop = std::string(4000, 'a') + "b";
  StopMatcher matcher({stop});
  size_t out = 0;
  for (int i = 0; i < 200; ++i) out += matcher.Push(std::string(5000, 'a')).size();
  EXPECT_EQ(out, 200u * 5000u - 4000u);
  EXPECT_EQ(matcher.Finish().size(), 4000u);
}

TEST(CheckStopStrings, RefusesWithReason) {
  EXPECT_TRUE(CheckStopStrings({"a", "日本"}).ok());
  EXPECT_EQ(CheckStopStrings({"a", ""}).error().where, "stop[1]");
  EXPECT_EQ(CheckStopStrings({"\xff"}).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckStopStrings({"\xe3\x81"}).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckStopStrings({"\xed\xa0\x80"}).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckStopStrings({std::string(4097, 'x')}).code(), ErrorCode::kUsage);
  EXPECT_EQ(CheckStopStrings(std::vector<std::string>(65, "x")).code(), ErrorCode::kUsage);
}

}  // namespace
}  // namespace lull
