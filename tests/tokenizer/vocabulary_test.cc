// Damaged vocabularies give errors that name the key, or are read without harm.
#include <gtest/gtest.h>

#include <functional>

#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

VocabBuilder Plain() {
  VocabBuilder builder;
  builder.AddByteLevelAlphabet();
  builder.merges.push_back("a b");
  builder.writer.AddString("tokenizer.ggml.pre", "gpt-2");
  return builder;
}

void ExpectError(const std::function<void(VocabBuilder&)>& damage, ErrorCode code,
                 std::string_view where, std::string_view message) {
  VocabBuilder builder = Plain();
  damage(builder);
  const auto result = builder.Build();
  ASSERT_FALSE(result.ok()) << where;
  EXPECT_EQ(result.error().code, code) << result.status().ToString();
  EXPECT_NE(result.status().ToString().find(where), std::string::npos)
      << result.status().ToString();
  EXPECT_NE(result.status().ToString().find(message), std::string::npos)
      << result.status().ToString();
}

TEST(Vocabulary, Missing) {
  ExpectError([](VocabBuilder& b) { b.model = ""; }, ErrorCode::kInvalidModel,
              "tokenizer.ggml.model", "no tokenizer");
  ExpectError(
      [](VocabBuilder& b) {
        b.tokens.clear();
        b.types.clear();
        b.scores.clear();
      },
      ErrorCode::kInvalidModel, "tokenizer.ggml.tokens", "no vocabulary");
  ExpectError([](VocabBuilder& b) { b.merges.clear(); }, ErrorCode::kInvalidModel,
              "tokenizer.ggml.merges", "without merges");
}

TEST(Vocabulary, UnknownModelAndPre) {
  ExpectError([](VocabBuilder& b) { b.model = "rwkv"; }, ErrorCode::kUnsupported,
              "tokenizer.ggml.model", "rwkv");
  ExpectError([](VocabBuilder& b) { b.writer.AddString("tokenizer.ggml.pre", "whatever-9"); },
              ErrorCode::kUnsupported, "tokenizer.ggml.pre", "whatever-9");
}

TEST(Vocabulary, LengthsThatDisagree) {
  ExpectError([](VocabBuilder& b) { b.types.resize(10); }, ErrorCode::kInvalidModel,
              "tokenizer.ggml.token_type", "10");
  ExpectError(
      [](VocabBuilder& b) {
        b.model = "llama";
        b.scores.resize(7);
      },
      ErrorCode::kInvalidModel, "tokenizer.ggml.scores", "7");
}

TEST(Vocabulary, IdsOutOfRange) {
  for (const char* name : {"bos_token_id", "eos_token_id", "unknown_token_id", "eot_token_id",
                           "eom_token_id", "fim_pad_token_id"}) {
    const std::string key = std::string("tokenizer.ggml.") + name;
    ExpectError([&](VocabBuilder& b) { b.writer.AddUint32(key, 256); }, ErrorCode::kInvalidModel,
                key, "256");
    ExpectError([&](VocabBuilder& b) { b.writer.AddUint32(key, UINT32_MAX); },
                ErrorCode::kInvalidModel, key, "4294967295");
    VocabBuilder negative = Plain();
    negative.writer.AddInt32(key, -1);
    EXPECT_FALSE(negative.Build().ok()) << key;
  }
}

TEST(Vocabulary, BosAskedForButNotNamed) {
  ExpectError([](VocabBuilder& b) { b.writer.AddBool("tokenizer.ggml.add_bos_token", true); },
              ErrorCode::kInvalidModel, "tokenizer.ggml.bos_token_id", "BOS");
}

TEST(Vocabulary, WrongTypes) {
  for (const char* name : {"model", "pre", "tokens", "token_type", "merges", "bos_token_id",
                           "add_bos_token", "add_space_prefix"}) {
    const std::string key = std::string("tokenizer.ggml.") + name;
    VocabBuilder builder = Plain();
    if (key.ends_with("model")) builder.model = "";
    if (key.ends_with("tokens")) builder.tokens.clear();
    if (key.ends_with("token_type")) builder.types.clear();
    if (key.ends_with("merges")) builder.merges.clear();
    builder.writer.AddFloat32(key, 1.0f);
    const auto result = builder.Build();
    ASSERT_FALSE(result.ok()) << key;
    EXPECT_NE(result.status().ToString().find(key), std::string::npos)
        << result.status().ToString();
  }
  VocabBuilder builder = Plain();
  builder.model = "llama";
  builder.scores.clear();
  builder.writer.AddString("tokenizer.ggml.scores", "x");
  EXPECT_FALSE(builder.Build().ok());
}

// Finding special tokens takes many times the memory of their texts.
TEST(Vocabulary, TooMuchTextInSpecialTokens) {
  ExpectError(
      [](VocabBuilder& b) {
        for (int i = 0; i < 9000; ++i) {
          b.Add(std::to_string(i) + std::string(500, 'x'), kTypeControl);
        }
      },
      ErrorCode::kInvalidModel, "tokenizer.ggml.tokens", "4 MiB");
}

TEST(Vocabulary, ByteTokensThatNameNoByte) {
  for (const char* text : {"<0x-1>", "<0x>", "<0xGG>", "<0x001>", "0x41", "<0X41>", ""}) {
    ExpectError([&](VocabBuilder& b) { b.Add(text, kTypeByte); }, ErrorCode::kInvalidModel,
                "tokenizer.ggml.tokens", "token 256");
  }
  VocabBuilder builder = Plain();
  const int32_t lower = builder.Add("<0x0a>", kTypeByte);
  const auto tokenizer = builder.Build();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->TokenBytes(lower, false), "\n");
}

TEST(Vocabulary, OddTokensAreHarmless) {
  VocabBuilder builder = Plain();
  const int32_t empty = builder.Add("", kTypeControl), again = builder.Add("a");
  const int32_t odd = builder.Add("\xFF\xFE", kTypeUser), future = builder.Add("z9", 77);
  const auto tokenizer = builder.Build();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->TokenText(empty), "[EMPTY_256]");
  EXPECT_EQ(Ids(**tokenizer, "a"), (TokenIds{'a'}));  // the first of two equal tokens
  EXPECT_EQ((*tokenizer)->TokenBytes(again, false), "a");
  EXPECT_EQ(Ids(**tokenizer, "x\xFF\xFE"), (TokenIds{'x', odd}));
  EXPECT_EQ((*tokenizer)->TokenBytes(future, true), "");
  for (int32_t id : {-1, INT32_MIN, INT32_MAX, static_cast<int32_t>((*tokenizer)->vocab_size())}) {
    EXPECT_EQ((*tokenizer)->TokenBytes(id, true), "");
    EXPECT_EQ((*tokenizer)->TokenText(id), "");
    EXPECT_FALSE((*tokenizer)->IsEndOfGeneration(id));
  }
}

TEST(Vocabulary, OverlongSpecialIsRefused) {
  ExpectError([](VocabBuilder& b) { b.Add(std::string(600, 'x'), kTypeControl); },
              ErrorCode::kInvalidModel, "tokenizer.ggml.tokens", "600");
}

}  // namespace
}  // namespace lull
