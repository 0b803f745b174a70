// Random schemas, random walks through their masks: every finished text is judged by a validator
// that knows nothing of grammars. LULL_GRAMMAR_TEXTS=FILE also writes "schema TAB text" lines, for
// tests/grammar/check_with_jsonschema.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "formats/gguf.h"
#include "tests/grammar/random_regex.h"
#include "tests/grammar/random_schema.h"
#include "tests/grammar/schema_validator.h"
#include "tests/grammar/walk.h"
#include "tokenizer/unicode.h"

namespace lull::grammar {
namespace {

using testing::Document;

// The text, or nothing where the walk is cut for its length.
std::optional<std::string> Walk(const Bench& bench, const std::shared_ptr<Grammar>& grammar,
                                TestRandom* random) {
  auto constraint = bench.New(grammar);
  std::vector<uint32_t> mask(bench.words());
  std::string text;
  const uint64_t patience = 5 + random->Below(60);
  for (uint64_t step = 0; step < 600; ++step) {
    const std::vector<int32_t> allowed = bench.Allowed(*constraint);
    if (allowed.empty()) {
      ADD_FAILURE() << "no token may follow " << text;
      return std::nullopt;
    }
    int32_t token = allowed[random->Below(allowed.size())];
    // Towards the end, where it tires.
    for (int attempt = 0; step > patience && attempt < 8; ++attempt) {
      const int32_t other = allowed[random->Below(allowed.size())];
      const std::string bytes = bench.Text(other);
      if (bytes.empty() || std::string_view("\"]}").find(bytes[0]) != std::string_view::npos) {
        token = other;
      }
    }
    if (step > patience && std::binary_search(allowed.begin(), allowed.end(), bench.end())) {
      token = bench.end();
    }
    const Status accepted = constraint->Accept(token);
    if (!accepted.ok()) {
      ADD_FAILURE() << accepted.ToString() << " after " << text;
      return std::nullopt;
    }
    if (bench.vocabulary()->IsEnd(token)) return text;
    text += bench.Text(token);
  }
  return std::nullopt;
}

struct Tally {
  int schemas = 0, refused = 0, impossible = 0, texts = 0, cut = 0;
};

Tally CheckTexts(const Bench& bench, int wanted, uint64_t seed) {
  Tally tally;
  std::ofstream dump;
  if (const char* path = std::getenv("LULL_GRAMMAR_TEXTS")) dump.open(path, std::ios::app);
  TestRandom random(seed);
  while (tally.texts < wanted && !::testing::Test::HasFailure()) {
    const Document schema = testing::RandomSchema(random.Next()).Make();
    ++tally.schemas;
    const auto grammar =
        Grammar::Compile({GrammarSpec::Kind::kJsonSchema, schema.dump(), {}, {}, {}});
    if (!grammar.ok()) {
      EXPECT_TRUE(grammar.status().code() == ErrorCode::kUnsupported ||
                  grammar.status().code() == ErrorCode::kInvalidInput)
          << schema.dump() << ": " << grammar.status().ToString();
      ++(grammar.status().code() == ErrorCode::kUnsupported ? tally.refused : tally.impossible);
      continue;
    }
    for (int walk = 0; walk < 8; ++walk) {
      const std::optional<std::string> text = Walk(bench, *grammar, &random);
      if (!text.has_value()) {
        ++tally.cut;
        continue;
      }
      ++tally.texts;
      testing::SchemaValidator validator(schema);
      EXPECT_TRUE(validator.Accepts(*text))
          << schema.dump() << "\nwrote " << *text << "\nagainst " << validator.why();
      if (dump.is_open()) dump << schema.dump() << '\t' << Document(*text).dump() << '\n';
    }
  }
  return tally;
}

void Expect(const Tally& tally) {
  ::testing::Test::RecordProperty("schemas", tally.schemas);
  std::printf("%d schemas: %d refused, %d impossible; %d texts, %d walks cut\n", tally.schemas,
              tally.refused, tally.impossible, tally.texts, tally.cut);
  EXPECT_LT(tally.refused, tally.schemas / 3);
  EXPECT_LT(tally.cut, tally.texts / 5);
}

TEST(RandomWalk, NoTextIsOutsideItsSchema) {
  const Bench bench;
  Expect(CheckTexts(bench, 2000, 1));
}

std::u32string CodesOf(const std::string& text) {
  std::u32string codes;
  for (size_t pos = 0; pos < text.size();) codes += NextCodePoint(text, &pos);
  return codes;
}

// A few of the characters that the random expressions tell apart.
std::string RandomText(TestRandom* random) {
  static const std::string kCharacters[] = {"a", "b", "c", " ",  "1", "\"",       "\\",
                                            ".", "]", "-", "\n", "_", "\xC3\xA9", "\xE2\x82\xAC"};
  std::string text;
  for (uint64_t left = random->Below(7); left > 0; --left)
    text += kCharacters[random->Below(std::size(kCharacters))];
  return text;
}

bool AcceptsWhole(const Bench& bench, const std::shared_ptr<Grammar>& grammar,
                  const std::string& text) {
  auto constraint = bench.New(grammar);
  return bench.AcceptBytes(*constraint, text) && constraint->Accept(bench.end()).ok();
}

struct MatchTally {
  int matches = 0, others = 0, walks = 0;
};

// Texts of walks match, and of other texts exactly those are taken that do. judge: whether the
// text, as it is written, is one. write: what is written for it.
template <typename Judge, typename Write>
void CompareTexts(const Bench& bench, const std::shared_ptr<Grammar>& grammar, TestRandom* random,
                  const Judge& judge, const Write& write, MatchTally* tally) {
  for (int i = 0; i < 8; ++i) {
    const std::optional<std::string> walked = Walk(bench, grammar, random);
    if (!walked.has_value()) continue;
    ++tally->walks;
    EXPECT_TRUE(judge(*walked)) << "wrote " << *walked;
  }
  for (int i = 0; i < 12; ++i) {
    const std::string text = write(RandomText(random));
    const bool wanted = judge(text);
    ++(wanted ? tally->matches : tally->others);
    EXPECT_EQ(AcceptsWhole(bench, grammar, text), wanted) << text;
  }
}

void CheckRegexes(int rounds, uint64_t seed) {
  const Bench bench;
  TestRandom random(seed);
  MatchTally tally;
  for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
    const testing::RegexTree tree = testing::RandomRegex(random.Next()).Make();
    SCOPED_TRACE(tree.text);
    const auto grammar = Grammar::Compile({GrammarSpec::Kind::kRegex, tree.text, {}, {}, {}});
    ASSERT_TRUE(grammar.ok()) << grammar.status().ToString();
    const auto judge = [&](const std::string& text) { return tree.Matches(CodesOf(text)); };
    const auto write = [](std::string text) { return text; };
    CompareTexts(bench, *grammar, &random, judge, write, &tally);
  }
  EXPECT_GT(tally.matches, rounds / 4);
  EXPECT_GT(tally.others, 4 * rounds);
  EXPECT_GT(tally.walks, 6 * rounds);
}

void CheckPatterns(int rounds, uint64_t seed) {
  const Bench bench;
  TestRandom random(seed);
  MatchTally tally;
  for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
    const testing::RegexTree tree = testing::RandomRegex(random.Next()).Make();
    const uint64_t min = random.Below(4), max = min + random.Below(6);
    Document schema = {{"type", "string"}};
    const bool anchored = random.Below(2) == 0;
    schema["pattern"] = anchored ? "^(" + tree.text + ")$" : tree.text;
    if (random.Below(3) > 0) schema["minLength"] = min;
    if (random.Below(3) > 0) schema["maxLength"] = max;
    SCOPED_TRACE(schema.dump());
    const auto grammar =
        Grammar::Compile({GrammarSpec::Kind::kJsonSchema, schema.dump(), {}, {}, {}});
    if (!grammar.ok()) {  // nothing is as long as that
      EXPECT_EQ(grammar.status().code(), ErrorCode::kInvalidInput) << grammar.status().ToString();
      continue;
    }
    const auto judge = [&](const std::string& text) {
      const Document value = Document::parse(text, nullptr, false);
      if (!value.is_string()) return false;
      const std::u32string codes = CodesOf(value.get<std::string>());
      if (codes.size() < schema.value("minLength", size_t{0})) return false;
      if (codes.size() > schema.value("maxLength", SIZE_MAX)) return false;
      return anchored ? tree.Matches(codes) : tree.Finds(codes);
    };
    const auto write = [](const std::string& text) { return Document(text).dump(); };
    CompareTexts(bench, *grammar, &random, judge, write, &tally);
  }
  EXPECT_GT(tally.matches, rounds / 2);
  EXPECT_GT(tally.others, 2 * rounds);
  EXPECT_GT(tally.walks, 4 * rounds);
}

TEST(RandomWalk, RegularExpressionsTakeWhatMatchesAndNothingElse) { CheckRegexes(60, 11); }
TEST(RandomWalk, PatternsWithLengthsTakeWhatMatchesAndNothingElse) { CheckPatterns(60, 12); }
TEST(RandomWalkSlow, ThousandsOfRegularExpressions) {
  CheckRegexes(2000, 13);
  CheckPatterns(2000, 14);
}

TEST(RandomWalkSlow, TenThousandTexts) {
  const Bench bench;
  Expect(CheckTexts(bench, 10'000, 2));
}

TEST(RandomWalkSlow, RealVocabulary) {
  const char* folder = std::getenv("LULL_TEST_MODELS");
  const std::string path = folder == nullptr ? "" : std::string(folder) + "/smollm2.gguf";
  if (folder == nullptr || !std::filesystem::exists(path)) {
    GTEST_SKIP() << "set LULL_TEST_MODELS to a folder with smollm2.gguf";
  }
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  auto tokenizer = Tokenizer::Create(**file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const Bench bench(std::move(*tokenizer));
  Expect(CheckTexts(bench, 1000, 3));
}

}  // namespace
}  // namespace lull::grammar
