#include <gtest/gtest.h>

#include <limits>

#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

// 0 <unk>, 1 <s>, 2 </s>, 3.. bytes.
VocabBuilder Plain() {
  VocabBuilder builder;
  builder.model = "llama";
  builder.Add("<unk>", kTypeUnknown);
  builder.Add("<s>", kTypeControl);
  builder.Add("</s>", kTypeControl);
  builder.AddByteTokens();
  return builder;
}
int32_t Byte(int byte) { return 3 + byte; }

std::unique_ptr<Tokenizer> BuildOrDie(VocabBuilder& builder) {
  auto tokenizer = builder.Build();
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

TEST(SentencePiece, HighestScoreThenLeftmost) {
  VocabBuilder builder = Plain();
  builder.writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  const int32_t a = builder.Add("a", kTypeNormal, -1);
  builder.Add("b", kTypeNormal, -1);
  builder.Add("c", kTypeNormal, -1);
  const int32_t ab = builder.Add("ab", kTypeNormal, -5);
  const int32_t bc = builder.Add("bc", kTypeNormal, -4);
  const int32_t aa = builder.Add("aa", kTypeNormal, 0.0f);
  builder.Add("bb", kTypeNormal, -0.0f);  // as good as "aa", so the leftmost wins
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "abc"), (TokenIds{a, bc}));
  EXPECT_EQ(Ids(*tokenizer, "aaa"), (TokenIds{aa, a}));
  EXPECT_EQ(Ids(*tokenizer, "aaab"), (TokenIds{aa, ab}));
}

TEST(SentencePiece, SpacePrefixAfterSpecials) {
  VocabBuilder builder = Plain();
  const int32_t space = builder.Add("\u2581", kTypeNormal, -1);
  const int32_t a = builder.Add("a", kTypeNormal, -1),
                space_a = builder.Add("\u2581a", kTypeNormal, -2);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "a"), (TokenIds{space_a}));
  EXPECT_EQ(Ids(*tokenizer, "a<s>a a"), (TokenIds{space_a, 1, space_a, space_a}));
  EXPECT_EQ(Ids(*tokenizer, " a"), (TokenIds{space, space_a}));
  EXPECT_EQ(Ids(*tokenizer, ""), (TokenIds{}));
  EXPECT_EQ(tokenizer->Decode(ExecContext(), {space_a, space_a}, true), "a a");
  EXPECT_EQ(tokenizer->Decode(ExecContext(), {space, space_a, a}, true), " aa");
  TokenizeOptions options;
  options.add_bos = true;
  EXPECT_EQ(*tokenizer->Encode(ExecContext(), "a", options), (TokenIds{1, space_a}));
}

TEST(SentencePiece, BytesOfUnknownCharacters) {
  VocabBuilder builder = Plain();
  builder.writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "\u00E9"), (TokenIds{Byte(0xC3), Byte(0xA9)}));
  EXPECT_EQ(Ids(*tokenizer, "\xFF\xC3"), (TokenIds{Byte(0xFF), Byte(0xC3)}));  // raw, not U+FFFD
  EXPECT_EQ(Ids(*tokenizer, " "), (TokenIds{Byte(0xE2), Byte(0x96), Byte(0x81)}));
  EXPECT_EQ(tokenizer->TokenBytes(Byte(0xC3), false), "\xC3");
}

TEST(SentencePiece, WithoutByteTokensUnknownStandsIn) {
  VocabBuilder builder;
  builder.model = "llama";
  builder.Add("<unk>", kTypeUnknown);
  builder.Add("<s>", kTypeControl);
  builder.Add("</s>", kTypeControl);
  builder.writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "ab"), (TokenIds{0, 0}));
}

TEST(SentencePiece, ExtremeScores) {
  VocabBuilder builder = Plain();
  builder.writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  for (const char* text : {"a", "b", "c"}) builder.Add(text, kTypeNormal, 0);
  builder.Add("ab", kTypeNormal, -std::numeric_limits<float>::infinity());
  const int32_t bc = builder.Add("bc", kTypeNormal, std::numeric_limits<float>::lowest());
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "abc").back(), bc);
}

TEST(SentencePiece, NanScoreIsRefused) {
  VocabBuilder builder = Plain();
  builder.Add("a", kTypeNormal, std::numeric_limits<float>::quiet_NaN());
  const auto result = builder.Build();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidModel);
  EXPECT_EQ(result.error().where, "tokenizer.ggml.scores");
}

}  // namespace
}  // namespace lull
