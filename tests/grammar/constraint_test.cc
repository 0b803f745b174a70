// Masks of small vocabularies, a token at a time.
#include <gtest/gtest.h>

#include "tests/grammar/walk.h"

namespace lull::grammar {
namespace {

using Kind = GrammarSpec::Kind;

GrammarSpec Regex(std::string text) { return {Kind::kRegex, std::move(text), {}, {}, {}}; }
GrammarSpec Choice(std::vector<std::string> choices) {
  return {Kind::kChoice, {}, std::move(choices), {}, {}};
}
const GrammarSpec kObject{};

TEST(Choice, TakesWhatIsListed) {
  const Bench bench;
  for (const char* text : {"yes", "no", "nothing", "h\xC3\xA9"}) {
    EXPECT_TRUE(bench.Accepts(Choice({"yes", "no", "nothing", "h\xC3\xA9"}), text)) << text;
  }
  for (const char* text : {"", "y", "yess", "n", "noth", "Yes", " yes"}) {
    EXPECT_FALSE(bench.Accepts(Choice({"yes", "no", "nothing"}), text)) << text;
  }
}

TEST(Choice, BadOnesAreErrors) {
  EXPECT_EQ(Grammar::Compile(Choice({})).status().code(), ErrorCode::kUsage);
  EXPECT_EQ(Grammar::Compile(Choice({"a", ""})).status().code(), ErrorCode::kUsage);
  EXPECT_EQ(Grammar::Compile(Choice({"\xFF"})).status().code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(Grammar::Compile(Choice(std::vector<std::string>(10'001, "a"))).status().code(),
            ErrorCode::kInvalidInput);
}

TEST(Constraint, EndsOnlyWhereTheTextIsComplete) {
  const Bench bench;
  auto constraint = bench.New(Choice({"ab", "abc"}));
  EXPECT_FALSE(bench.EndAllowed(*constraint));
  EXPECT_FALSE(constraint->Accept(bench.end()).ok());
  ASSERT_TRUE(constraint->Accept(bench.TokenOf("a")).ok());
  EXPECT_FALSE(bench.EndAllowed(*constraint));
  ASSERT_TRUE(constraint->Accept(bench.TokenOf("b")).ok());
  EXPECT_TRUE(bench.EndAllowed(*constraint));
  EXPECT_FALSE(constraint->finished());
  ASSERT_TRUE(constraint->Accept(bench.TokenOf("c")).ok());
  EXPECT_TRUE(constraint->finished());
  EXPECT_EQ(bench.Allowed(*constraint), std::vector<int32_t>{bench.end()});
  ASSERT_TRUE(constraint->Accept(bench.end()).ok());
  EXPECT_FALSE(constraint->Accept(bench.TokenOf("c")).ok());
}

TEST(Constraint, TokenThatDoesNotFitChangesNothing) {
  const Bench bench;
  auto constraint = bench.New(Choice({"ab"}));
  EXPECT_EQ(constraint->Accept(bench.TokenOf("b")).code(), ErrorCode::kUsage);
  EXPECT_EQ(constraint->Accept(-1).code(), ErrorCode::kUsage);
  EXPECT_EQ(constraint->Accept(1 << 30).code(), ErrorCode::kUsage);
  EXPECT_EQ(constraint->Accept(bench.control()).code(), ErrorCode::kUsage);
  EXPECT_TRUE(constraint->Accept(bench.TokenOf("a")).ok());
  EXPECT_TRUE(constraint->Accept(bench.TokenOf("b")).ok());
}

TEST(Constraint, MaskThatIsTooShortIsAnError) {
  const Bench bench;
  auto constraint = bench.New(kObject);
  std::vector<uint32_t> mask(bench.words() - 1);
  EXPECT_EQ(constraint->FillMask(mask).code(), ErrorCode::kUsage);
}

// The mask says of each token what taking it byte by byte says.
TEST(Constraint, MaskIsWhatAcceptTakes) {
  const Bench bench;
  for (const GrammarSpec& spec :
       {kObject, Regex("(a|b\"|\xC3\xA9)*c+"), Choice({"{\"a", "{\"b"})}) {
    TestRandom random(7);
    for (int walk = 0; walk < 3; ++walk) {
      auto constraint = bench.New(spec);
      std::string text;
      for (int step = 0; step < 14 && !constraint->finished(); ++step) {
        const std::vector<int32_t> allowed = bench.Allowed(*constraint);
        ASSERT_FALSE(allowed.empty()) << text;
        for (int32_t token = 0; token < bench.vocab_size(); ++token) {
          auto replay = bench.New(spec);
          ASSERT_TRUE(bench.AcceptBytes(*replay, text)) << text;
          const bool in_mask = std::binary_search(allowed.begin(), allowed.end(), token);
          ASSERT_EQ(replay->Accept(token).ok(), in_mask)
              << text << " + " << bench.Text(token) << " (" << token << ")";
        }
        const int32_t token = allowed[random.Below(allowed.size())];
        ASSERT_TRUE(constraint->Accept(token).ok());
        text += bench.Text(token);
      }
    }
  }
}

TEST(JsonObject, TakesJsonAndNothingElse) {
  const Bench bench;
  for (const char* text :
       {"{}", "{ }", "{\"a\":1}", "{\"a\": [1, -2.5e+10, true,false, null, \"x\"], \"b\": {}}",
        "{\n  \"a\": {\n    \"b\": []\n  }\n}", R"({"\"\\\/\b\f\n\r\t\u00e9":"\ud7ff\ue000"})",
        "{\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\":0}"}) {
    EXPECT_TRUE(bench.Accepts(kObject, text)) << text;
  }
  for (const char* text : {"",
                           "[]",
                           "1",
                           "{",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{,}",
                           "{a:1}",
                           "{'a':1}",
                           "{\"a\":01}",
                           "{\"a\":1.}",
                           "{\"a\":.5}",
                           "{\"a\":+1}",
                           "{\"a\":tru}",
                           "{\"a\":1}}",
                           "{\"a\":\"\n\"}",
                           "{\"a\":\"\\x\"}",
                           R"({"a":"\ud800"})",
                           "{\"a\":\"\xFF\"}",
                           "{\"a\":\"\xC3\"}",
                           "{\"a\":\"\xED\xA0\x80\"}",
                           "{\"a\":\"\xC0\x80\"}",
                           "{}\n",
                           " {}",
                           "{}{}"}) {
    EXPECT_FALSE(bench.Accepts(kObject, text)) << text;
  }
}

// An object with n - 1 arrays within it.
std::string Nested(size_t n) {
  return "{\"a\":" + std::string(n - 1, '[') + "0" + std::string(n - 1, ']') + "}";
}

TEST(JsonObject, NestsUpToItsBound) {
  const Bench bench;
  EXPECT_TRUE(bench.Accepts(kObject, Nested(64)));
  EXPECT_FALSE(bench.Accepts(kObject, Nested(65)));
  const GrammarSpec any_value{Kind::kJsonSchema, R"({"properties":{"a":true}})", {}, {}, {}};
  EXPECT_TRUE(bench.Accepts(any_value, Nested(65)));  // 64 within the schema's own object
  EXPECT_FALSE(bench.Accepts(any_value, Nested(66)));
}

// Around the bound the masks say what taking a token says, and something may always come.
TEST(JsonObject, MasksKnowTheBound) {
  const Bench bench;
  const auto at = [&](const std::string& text) {
    auto constraint = bench.New(kObject);
    for (const char byte : text)
      EXPECT_TRUE(constraint->Accept(bench.TokenOf({&byte, 1})).ok()) << text;
    return constraint;
  };
  for (size_t depth = 61; depth <= 64; ++depth) {
    const std::string open = "{\"a\":" + std::string(depth - 1, '[');
    for (const std::string& text :
         {open, open + "0", open + "0,", open + "\"", open + "0]", open + "0],"}) {
      const std::vector<int32_t> allowed = bench.Allowed(*at(text));
      EXPECT_FALSE(allowed.empty()) << text;
      for (int32_t token = 0; token < bench.vocab_size(); ++token) {
        const bool in_mask = std::count(allowed.begin(), allowed.end(), token) > 0;
        EXPECT_EQ(in_mask, at(text)->Accept(token).ok()) << text << " | " << bench.Text(token);
      }
    }
  }
}

TEST(PrefixAndSuffix, StandAroundIt) {
  const Bench bench;
  GrammarSpec spec = kObject;
  spec.prefix = "<call>\n";
  spec.suffix = "\n</call>";
  EXPECT_TRUE(bench.Accepts(spec, "<call>\n{\"a\":1}\n</call>"));
  EXPECT_FALSE(bench.Accepts(spec, "<call>\n{\"a\":1}"));
  EXPECT_FALSE(bench.Accepts(spec, "{\"a\":1}"));
}

TEST(Factory, KeepsWhatWasUsedLastAndWorksWhenFull) {
  const Bench bench;
  ConstraintFactory factory(bench.tokenizer());
  for (int i = 0; i < 150; ++i) {
    const auto constraint = factory.New(Choice({"a" + std::to_string(i % 100)}), ExecContext());
    ASSERT_TRUE(constraint.ok()) << constraint.status().ToString();
    EXPECT_TRUE((*constraint)->Accept(bench.TokenOf("a")).ok());
  }
  EXPECT_EQ(factory.cached_grammars(), 64);
  EXPECT_EQ(factory.New(Choice({}), ExecContext()).status().code(), ErrorCode::kUsage);
  EXPECT_EQ(factory.cached_grammars(), 64);
}

// SentencePiece families put a blank before a text and drop it again from an answer.
TEST(StrippedSpace, CountsAsNothing) {
  const Bench bench(Bench::Family::kSentencePiece);
  auto constraint = bench.New(Choice({"ab"}));
  const std::vector<int32_t> first = bench.Allowed(*constraint);
  for (int32_t token : first) {
    std::string text = bench.Text(token);
    if (text.starts_with(' ')) text.erase(0, 1);
    EXPECT_TRUE(text == "a" || text == "ab") << bench.Text(token);
  }
  ASSERT_TRUE(constraint->Accept(bench.TokenOf(" a")).ok());
  EXPECT_FALSE(constraint->Accept(bench.TokenOf(" b")).ok());
  EXPECT_TRUE(constraint->Accept(bench.TokenOf("b")).ok());
  EXPECT_TRUE(constraint->finished());
}

}  // namespace
}  // namespace lull::grammar
