#include <gtest/gtest.h>

#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

VocabBuilder Plain(const char* pre = "gpt-2") {
  VocabBuilder builder;
  builder.AddByteLevelAlphabet();
  builder.merges.push_back("q q");
  builder.writer.AddString("tokenizer.ggml.pre", pre);
  return builder;
}

std::unique_ptr<Tokenizer> BuildOrDie(VocabBuilder& builder) {
  auto tokenizer = builder.Build();
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

TEST(BytePair, LowestRankThenLeftmost) {
  VocabBuilder builder = Plain();
  const int32_t bc = builder.AddMerge("b", "c");
  const int32_t ab = builder.AddMerge("a", "b");
  const int32_t aa = builder.AddMerge("a", "a");
  const int32_t abab = builder.AddMerge("ab", "ab");
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "abc"), (TokenIds{'a', bc}));
  EXPECT_EQ(Ids(*tokenizer, "aaa"), (TokenIds{aa, 'a'}));
  EXPECT_EQ(Ids(*tokenizer, "aab"), (TokenIds{'a', ab}));
  EXPECT_EQ(Ids(*tokenizer, "ababab"), (TokenIds{abab, ab}));
}

TEST(BytePair, ShortAndLongWordsAgree) {
  VocabBuilder builder = Plain();
  builder.AddMerge("a", "b");
  builder.AddMerge("b", "a");
  builder.AddMerge("ab", "ab");
  builder.AddMerge("abab", "a");
  builder.AddMerge("ba", "b");
  builder.AddMerge("a", "a");
  const auto tokenizer = BuildOrDie(builder);
  // Words are cut by spaces; a long word's tokens must be those of the quadratic rule applied here.
  uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::string word;
    const int length = 1 + round % 60;
    for (int i = 0; i < length; ++i) {
      state = state * 1664525 + 1013904223;
      word += (state >> 20) % 3 ? 'a' : 'b';
    }
    std::vector<std::string> symbols;
    for (char c : word) symbols.emplace_back(1, c);
    while (true) {
      size_t best = SIZE_MAX, best_rank = SIZE_MAX;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        for (size_t rank = 0; rank < builder.merges.size(); ++rank) {
          if (builder.merges[rank] == symbols[i] + " " + symbols[i + 1] && rank < best_rank) {
            best = i;
            best_rank = rank;
          }
        }
      }
      if (best == SIZE_MAX) break;
      symbols[best] += symbols[best + 1];
      symbols.erase(symbols.begin() + static_cast<int64_t>(best) + 1);
    }
    TokenIds expected;
    for (const std::string& symbol : symbols) {
      for (size_t id = 0; id < builder.tokens.size(); ++id) {
        if (builder.tokens[id] == symbol) expected.push_back(static_cast<int32_t>(id));
      }
    }
    EXPECT_EQ(Ids(*tokenizer, word), expected) << word;
  }
}

TEST(BytePair, BytesVerbatimAndInvalidReplaced) {
  VocabBuilder builder = Plain();
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, std::string_view("\0\x1f\x7f", 3)), (TokenIds{0, 0x1f, 0x7f}));
  EXPECT_EQ(Ids(*tokenizer, "\xC3\xA9"), (TokenIds{0xC3, 0xA9}));
  const TokenIds replacement = {0xEF, 0xBF, 0xBD};
  EXPECT_EQ(Ids(*tokenizer, "\xFF"), replacement);
  EXPECT_EQ(Ids(*tokenizer, "\xC3"), replacement);
  EXPECT_EQ(Ids(*tokenizer, "\xE4\xB8"), (TokenIds{0xEF, 0xBF, 0xBD, 0xEF, 0xBF, 0xBD}));
  EXPECT_EQ(Ids(*tokenizer, "\xED\xA0\x80"), (TokenIds{0xED, 0xA0, 0x80}));  // a surrogate as it is
  EXPECT_EQ(Ids(*tokenizer, "\xC1\x81"), (TokenIds{'A'}));                   // overlong A
  EXPECT_EQ(Ids(*tokenizer, "\xF4\x90\x80\x80").size(), 12u);                // beyond U+10FFFF
}

TEST(BytePair, IgnoreMergesTakesWholeWords) {
  for (const char* pre : {"llama-bpe", "gpt-2"}) {
    VocabBuilder builder = Plain(pre);
    builder.writer.AddUint32("tokenizer.ggml.bos_token_id", 0);
    const int32_t word = builder.Add(ByteLevelText(" cat"));
    builder.merges.push_back("q q");
    const auto tokenizer = BuildOrDie(builder);
    const bool whole = std::string(pre) == "llama-bpe";
    EXPECT_EQ(Ids(*tokenizer, " cat"), whole ? (TokenIds{word}) : (TokenIds{' ', 'c', 'a', 't'}));
    EXPECT_EQ(tokenizer->adds_bos(), whole);
  }
}

TEST(BytePair, MergesWhoseTextIsNoToken) {
  VocabBuilder builder = Plain();
  builder.merges = {"a b", "ab c", "x \xC3\xA9"};  // neither "ab" nor "abc" are tokens
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "abc"), (TokenIds{'a', 'b', 'c'}));
}

TEST(BytePair, OddMergesAreHarmless) {
  VocabBuilder builder = Plain();
  builder.merges = {"a b c", "   ", "zz yy", std::string("\0 \0", 3), "a b", "a b"};
  const int32_t ab = builder.Add("ab");
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "ab"), (TokenIds{ab}));
}

TEST(BytePair, MergesThatAreNotTwoTextsAreRefused) {
  for (const char* merge : {"", " ", "a", "a ", " a", "  "}) {
    VocabBuilder builder = Plain();
    builder.merges = {"a b", merge};
    const auto tokenizer = builder.Build();
    ASSERT_FALSE(tokenizer.ok()) << '"' << merge << '"';
    EXPECT_EQ(tokenizer.error().where, "tokenizer.ggml.merges");
    EXPECT_NE(tokenizer.error().message.find("merge 1"), std::string::npos)
        << tokenizer.error().message;
  }
}

TEST(BytePair, CharactersWithVisibleSpaces) {
  VocabBuilder builder;
  builder.model = "gemma4";
  builder.AddByteTokens();
  const int32_t a = builder.Add("a"), space = builder.Add("\u2581"), both = builder.Add("\u2581a");
  const int32_t newlines = builder.Add("\n\n\n");
  builder.merges = {"\u2581 a"};
  builder.writer.AddUint32("tokenizer.ggml.bos_token_id", 0);
  const auto tokenizer = BuildOrDie(builder);
  EXPECT_EQ(Ids(*tokenizer, "a a  "), (TokenIds{a, both, space, space}));
  EXPECT_EQ(Ids(*tokenizer, "\u00E9"), (TokenIds{0xC3, 0xA9}));  // no such character: its bytes
  EXPECT_EQ(Ids(*tokenizer, "a\n\n\n"), (TokenIds{a, newlines}));
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->Decode(ExecContext(), {a, both, space, 0xC3, 0xA9}, true), "a a \u00E9");
}

TEST(BytePair, BosOnRequest) {
  VocabBuilder builder = Plain();
  builder.writer.AddUint32("tokenizer.ggml.bos_token_id", 65);
  builder.merges.push_back("q q");
  const auto tokenizer = BuildOrDie(builder);
  TokenizeOptions options;
  options.add_bos = true;
  EXPECT_EQ(*tokenizer->Encode(ExecContext(), "b", options),
            (TokenIds{'b'}));  // the file does not ask
  options.force_bos = true;
  EXPECT_EQ(*tokenizer->Encode(ExecContext(), "b", options), (TokenIds{65, 'b'}));
  VocabBuilder without = Plain();
  without.merges.push_back("q q");
  const auto no_bos = BuildOrDie(without);
  EXPECT_EQ(no_bos->Encode(ExecContext(), "b", options).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace lull
