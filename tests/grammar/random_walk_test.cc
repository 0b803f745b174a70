// Random schemas, random walks through their masks: every finished text is judged by a validator
// that knows nothing of grammars. LULL_GRAMMAR_TEXTS=FILE also writes "schema TAB text" lines, for
// tests/grammar/check_with_jsonschema.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "formats/gguf.h"
#include "tests/grammar/random_schema.h"
#include "tests/grammar/schema_validator.h"
#include "tests/grammar/walk.h"

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
