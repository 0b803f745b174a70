// Compiling, reading a vocabulary and filling masks pause often enough for the CPU governor.
#include <gtest/gtest.h>

#include "tests/grammar/mask_walk.h"
#include "tests/grammar/walk.h"
#include "tests/support/gap_meter.h"

namespace lull::grammar {
namespace {

using lull::testing::ExpectGaps;
using lull::testing::GapMeter;
using lull::testing::kMaxGapMs;

std::string ManyProperties() {
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < 300; ++i) {
    schema +=
        "\"property_" + std::to_string(i) +
        R"(":{"anyOf":[{"type":"string","pattern":"^[a-z\u00e9]{1,20}$"},{"type":"integer",)" +
        R"("minimum":)" + std::to_string(i) + R"(},{"enum":["a","b"]}]},)";
  }
  schema.back() = '}';
  return schema + "}";
}

TEST(Checkpoints, Compiling) {
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  const GrammarSpec schema = {GrammarSpec::Kind::kJsonSchema, ManyProperties(), {}, {}, {}};
  const GrammarSpec regex = {GrammarSpec::Kind::kRegex, "([^a-z]\\W.|\\d{1,3}){1,40}", {}, {}, {}};
  for (const GrammarSpec& spec : {schema, regex}) {
    ExpectGaps(spec.text.substr(0, 8).c_str(), meter, kMaxGapMs, [&] {
      const auto grammar = Grammar::Compile(spec, ctx);
      EXPECT_TRUE(grammar.ok()) << grammar.status().ToString();
    });
  }
}

// 60,000 tokens: every word of some syllables.
class ManyTokens : public testing::ByteTokenizer {
 public:
  int64_t vocab_size() const override { return 60'000; }
  std::string TokenBytes(int32_t token, bool special) const override {
    if (token < 256) return ByteTokenizer::TokenBytes(token, special);
    constexpr std::string_view kSyllables[] = {"ba",       "co", " d", "\"e",
                                               "\xC3\xA9", "f1", "},", "g"};
    std::string text;
    for (int32_t left = token; left > 0; left /= 8) text += kSyllables[left % 8];
    return text;
  }
};

TEST(Checkpoints, VocabularyAndMasks) {
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  const ManyTokens tokenizer;
  ExpectGaps("vocabulary", meter, kMaxGapMs, [&] { TokenVocabulary(tokenizer, ctx); });
  const auto vocabulary = std::make_shared<const TokenVocabulary>(tokenizer, ctx);
  const GrammarSpec spec = {GrammarSpec::Kind::kRegex, "\"[a-g]*\"(\xC3\xA9| )*", {}, {}, {}};
  ExpectGaps("masks", meter, kMaxGapMs, [&] {
    const auto grammar = Grammar::Compile(spec, ctx);
    Constraint constraint(*grammar, vocabulary, ctx);
    std::vector<uint32_t> mask(60'000 / 32);
    for (char c : {'"', 'a', 'b', '"'}) {
      EXPECT_TRUE(constraint.FillMask(mask).ok());
      EXPECT_TRUE(constraint.Accept(static_cast<int32_t>(c)).ok());
    }
  });
}

}  // namespace
}  // namespace lull::grammar
