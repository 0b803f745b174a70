// Regular expressions: what matches, what is refused.
#include <gtest/gtest.h>

#include "grammar/regex.h"
#include "tests/grammar/walk.h"

namespace lull::grammar {
namespace {

struct Case {
  const char* regex;
  std::vector<const char*> match, no_match;
};

GrammarSpec Spec(std::string_view regex) {
  return {GrammarSpec::Kind::kRegex, std::string(regex), {}, {}, {}};
}

TEST(Regex, MatchesTheWholeText) {
  const std::vector<Case> cases = {
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"a|bc|", {"a", "bc", ""}, {"abc", "b"}},
      {"^(a|b)$", {"a", "b"}, {"ab", "^a"}},
      {"a*", {"", "a", "aaa"}, {"b"}},
      {"a+b?", {"a", "aab"}, {"", "b", "abb"}},
      {"a{2}", {"aa"}, {"a", "aaa"}},
      {"a{2,}", {"aa", "aaaa"}, {"a"}},
      {"a{1,3}?", {"a", "aaa"}, {"", "aaaa"}},
      {"a{0}b", {"b"}, {"ab"}},
      {"(ab){1,2}c", {"abc", "ababc"}, {"c", "abababc"}},
      {"(?:a|(?<n>b))*", {"", "abba"}, {"c"}},
      {"(a*)*b", {"b", "aab"}, {"a"}},
      {"(a?){3}", {"", "a", "aaa"}, {"aaaa"}},
      {"[a-cx-]", {"a", "c", "x", "-"}, {"d", "", "ab"}},
      {"[^a-c]", {"d", "\xC3\xA9", "\n"}, {"a", "", "\xC3"}},
      {"[]a]", {}, {"a", "]", "]a]"}},
      {"[\\]\\\\]", {"]", "\\"}, {"a"}},
      {"[\\d_]+", {"1_2"}, {"a"}},
      {".", {"a", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}, {"\n", "\r", "", "ab", "\x80"}},
      {"\\d\\D\\w\\W\\s\\S", {"1a_- x"}, {"11_- x"}},
      {"\\s", {" ", "\t"}, {"\xC2\xA0", "\xE3\x80\x80", "a"}},
      {"\\S|[^\\s]", {"a", "\xC3\xA9"}, {" ", "\xC2\xA0", "\xE3\x80\x80", "\x1C"}},
      {"[^\\S]", {" "}, {"a", "\xC2\xA0"}},
      {"\\D", {"a", "\xC3\xA9"}, {"1", "\xD9\xA1"}},
      {"\\W", {"-", "\xE2\x82\xAC"}, {"a", "\xC3\xA9"}},
      {"\\.\\*\\/\\-", {".*/-"}, {"a*/-"}},
      {"\\x41\\u00e9\\u{1F600}", {"A\xC3\xA9\xF0\x9F\x98\x80"}, {"A"}},
      {"\\t\\n\\r\\f\\v", {"\t\n\r\f\v"}, {"t"}},
      {"a{,2}", {"a{,2}"}, {"a", "aa"}},
      {"{}", {"{}"}, {""}},
      {"\xC3\xA9+", {"\xC3\xA9\xC3\xA9"}, {"\xC3"}},
      {"[\xC3\xA0-\xC3\xBF]", {"\xC3\xA9"}, {"e"}},
  };
  const Bench bench;
  for (const Case& c : cases) {
    for (const char* text : c.match) {
      EXPECT_TRUE(bench.Accepts(Spec(c.regex), text)) << c.regex << " on " << text;
    }
    if (std::string_view(c.regex) == "[]a]") {  // an empty set first: nothing matches
      EXPECT_EQ(Grammar::Compile(Spec(c.regex)).status().code(), ErrorCode::kInvalidInput);
      continue;
    }
    for (const char* text : c.no_match) {
      EXPECT_FALSE(bench.Accepts(Spec(c.regex), text)) << c.regex << " on " << text;
    }
  }
}

TEST(Regex, WhatIsNotUnderstoodIsRefusedByName) {
  const std::pair<const char*, const char*> unsupported[] = {
      {"a(?=b)", "lookahead"}, {"(?<!a)b", "lookbehind"}, {"(a)\\1", "\\1"},
      {"\\bword", "\\b"},      {"\\p{L}", "\\p"},         {"(?i)a", "a group"},
      {"a^b", "anchor"},       {"(^a|b)", "anchor"},      {"a{100001}", "repetition"},
      {"\\ud800", "surrogate"}};
  for (const auto& [regex, what] : unsupported) {
    const Status status = Grammar::Compile(Spec(regex)).status();
    EXPECT_EQ(status.code(), ErrorCode::kUnsupported) << regex;
    EXPECT_NE(status.error().message.find(what), std::string::npos) << status.ToString();
    EXPECT_EQ(status.error().where, "regex");
  }
  for (const char* regex : {"(", ")", "a)", "(a", "[a", "*", "a**", "+a", "a{3,2}", "[b-a]", "\\",
                            "\\x4", "\\u{110000}", "^*", "[\\d-z]", "(?<n", "\xFF", "a|*"}) {
    EXPECT_EQ(Grammar::Compile(Spec(regex)).status().code(), ErrorCode::kInvalidInput) << regex;
  }
}

TEST(Regex, NestingAndSizeAreBounded) {
  const int kDeep = 60'000;
  const std::string nested = std::string(kDeep, '(') + "a" + std::string(kDeep / 2, ')');
  for (const std::string& regex :
       {nested, std::string("((((a{1000}){1000}){1000}){1000})"), std::string(70'000, 'a'),
        std::string("((((((((a{0}){9999}){9999}){9999}){9999}){9999}){9999}))"),
        std::string(".{90000}")}) {
    const Status status = Grammar::Compile(Spec(regex)).status();
    EXPECT_FALSE(status.ok()) << regex.substr(0, 40);
    EXPECT_NE(status.code(), ErrorCode::kInternal) << status.ToString();
  }
  const Bench bench;
  const std::string hundred = std::string(99, '(') + "a" + std::string(99, ')');
  EXPECT_TRUE(bench.Accepts(Spec(hundred), "a"));
}

// 2^100 ways to read it, and as many sets of states had they to be made at once.
TEST(Regex, AmbiguityStaysBounded) {
  const Bench bench;
  const std::string text(200, 'a');
  EXPECT_TRUE(bench.Accepts(Spec("(a|a)*"), text));
  EXPECT_TRUE(bench.Accepts(Spec("(a*a*)*"), text));
  EXPECT_FALSE(bench.Accepts(Spec("(a|aa)+b"), text));
  EXPECT_TRUE(bench.Accepts(Spec("[ab]*a[ab]{60}"), text));
}

TEST(Regex, SearchMayBeginAndEndAnywhere) {
  const auto matches = [](std::string_view regex, std::string_view text) {
    const ExecContext ctx;
    WorkMeter meter(ctx);
    AutomatonBuilder builder(&meter, {});
    const auto start = BuildRegex(&builder, regex, {.search = true}, builder.Return(), "x");
    EXPECT_TRUE(start.ok()) << start.status().ToString();
    const int32_t root = builder.NewRule();
    builder.SetRule(root, *start);
    const auto automaton = builder.Finish(root);
    EXPECT_TRUE(automaton.ok()) << automaton.status().ToString();
    Matcher matcher(*automaton, ctx);
    Position from, to;
    matcher.Start(&from);
    for (char c : text) {
      matcher.Step(from, static_cast<uint8_t>(c), &to);
      std::swap(from, to);
    }
    return from.complete;
  };
  EXPECT_TRUE(matches("b", "abc"));
  EXPECT_TRUE(matches("^ab", "abc"));
  EXPECT_FALSE(matches("^b", "abc"));
  EXPECT_TRUE(matches("c$", "abc"));
  EXPECT_FALSE(matches("b$", "abc"));
  EXPECT_TRUE(matches("^a|c$", "axx"));
  EXPECT_TRUE(matches("^a|c$", "xxc"));
  EXPECT_FALSE(matches("^a|c$", "xax"));
  EXPECT_TRUE(matches("^abc$", "abc"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(matches("", "anything"));
}

}  // namespace
}  // namespace lull::grammar
