#include <gtest/gtest.h>

#include <chrono>

#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

// Byte-level, so that the token of an ASCII character is its code.
VocabBuilder Plain() {
  VocabBuilder builder;
  builder.AddByteLevelAlphabet();
  builder.writer.AddString("tokenizer.ggml.pre", "gpt-2");
  builder.merges.push_back("q q");
  return builder;
}

std::unique_ptr<Tokenizer> BuildOrDie(VocabBuilder& builder) {
  auto tokenizer = builder.Build();
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

TEST(SpecialTokens, ControlOnlyWhereAsked) {
  VocabBuilder builder = Plain();
  const int32_t control = builder.Add("<c>", kTypeControl), user = builder.Add("<u>", kTypeUser);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "a<c><u>b"), (TokenIds{'a', control, user, 'b'}));
  EXPECT_EQ(Ids(*tokenizer, "<c><u>", false), (TokenIds{'<', 'c', '>', user}));
  EXPECT_EQ(tokenizer->TokenBytes(control, false), "");
  EXPECT_EQ(tokenizer->TokenBytes(control, true), "<c>");
  EXPECT_EQ(tokenizer->TokenBytes(user, false), "<u>");
}

TEST(SpecialTokens, LongerWinsEvenWhereItStartsLater) {
  VocabBuilder builder = Plain();
  const int32_t ab = builder.Add("ab", kTypeUser), bcd = builder.Add("bcd", kTypeUser);
  const int32_t abcde = builder.Add("xbcde", kTypeUser);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "abcd"), (TokenIds{'a', bcd}));
  EXPECT_EQ(Ids(*tokenizer, "abbcd"), (TokenIds{ab, bcd}));
  EXPECT_EQ(Ids(*tokenizer, "xbcdeab"), (TokenIds{abcde, ab}));
}

TEST(SpecialTokens, RunsFallBackToShorterOnes) {
  VocabBuilder builder = Plain();
  const int32_t four = builder.Add("\n\n\n\n", kTypeUser), two = builder.Add("\n\n", kTypeUser);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, std::string(11, '\n')), (TokenIds{four, four, two, '\n'}));
}

TEST(SpecialTokens, StrippingOfTheModelsThatDo) {
  VocabBuilder builder = Plain();
  builder.writer.AddString("general.name", "My Phi-3 mini");
  const int32_t end = builder.Add("<|end|>", kTypeControl),
                unk = builder.Add("<unk>", kTypeUnknown);
  const auto phi = BuildOrDie(builder);
  EXPECT_EQ(Ids(*phi, "a <|end|> \n b"), (TokenIds{'a', ' ', end, 'b'}));
  EXPECT_EQ(Ids(*phi, "<unk> b"), (TokenIds{unk, ' ', 'b'}));
  EXPECT_EQ(Ids(*phi, "<|end|>  <|end|>  "), (TokenIds{end, end}));
  VocabBuilder jina = Plain();
  jina.writer.AddString("tokenizer.ggml.pre", "jina-v2-code");
  const int32_t mask = jina.Add("<mask>", kTypeControl);
  EXPECT_EQ(Ids(*BuildOrDie(jina), "a  <mask> b"), (TokenIds{'a', mask, ' ', 'b'}));
}

TEST(SpecialTokens, EndOfGeneration) {
  VocabBuilder builder = Plain();
  const int32_t im_end = builder.Add("<|im_end|>", kTypeNormal), eom = builder.Add("eom");
  const int32_t repo = builder.Add("<|repo_name|>", kTypeNormal),
                fim = builder.Add("<|fim_prefix|>");
  const int32_t end = builder.Add("<|end|>", kTypeControl);
  builder.writer.AddUint32("tokenizer.ggml.eos_token_id", 'E');
  builder.writer.AddUint32("tokenizer.ggml.eom_token_id", static_cast<uint32_t>(eom));
  const auto tokenizer = BuildOrDie(builder);
  TokenIds ends;
  for (int32_t id = -2; id < tokenizer->vocab_size() + 2; ++id) {
    if (tokenizer->IsEndOfGeneration(id)) ends.push_back(id);
  }
  EXPECT_EQ(ends, (TokenIds{'E', im_end, eom, repo, end}));
  // Such texts are control tokens whatever the file says, also those that end nothing.
  EXPECT_EQ(tokenizer->TokenBytes(im_end, false), "");
  EXPECT_EQ(Ids(*tokenizer, "<|fim_prefix|>"), (TokenIds{fim}));
}

TEST(SpecialTokens, EndIsNoEndWhereReturnAndCallAre) {
  VocabBuilder builder = Plain();
  const int32_t end = builder.Add("<|end|>", kTypeControl),
                call = builder.Add("<|call|>", kTypeControl);
  builder.Add("<|return|>", kTypeControl);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(end));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(call));
}

TEST(SpecialTokens, ManyOverlapsStayLinear) {
  VocabBuilder builder = Plain();
  for (size_t length = 2; length <= 64; ++length) builder.Add(std::string(length, '-'), kTypeUser);
  const auto tokenizer = BuildOrDie(builder);
  const auto start = std::chrono::steady_clock::now();
  const TokenIds ids = Ids(*tokenizer, std::string(1000000, '-'));
  EXPECT_EQ(ids.size(), 1000000u / 64);
  // One pass over the text for each of the 63 tokens would take minutes where they all overlap.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace lull
