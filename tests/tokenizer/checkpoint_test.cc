// No step of opening a vocabulary, tokenizing or detokenizing goes 0.3 ms without a checkpoint.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/gap_meter.h"
#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

using testing::ExpectGaps;
using testing::GapMeter;
using testing::kMaxGapMs;

// As many tokens as the largest vocabularies in use, 6,000 of them special.
constexpr int kTokens = 262'144;

std::string Word(uint32_t number) {
  std::string word;
  for (; number > 0; number /= 26) word += static_cast<char>('a' + number % 26);
  return word;
}

// Byte-level, every word but the shortest by a merge of the word without its last letter.
VocabBuilder BytePairVocab() {
  VocabBuilder builder;
  builder.AddByteLevelAlphabet();
  for (int i = 0; i < 6000; ++i) builder.Add("<|special_" + std::to_string(i) + "|>", kTypeControl);
  for (uint32_t i = 26; builder.tokens.size() < kTokens; ++i) {
    const std::string word = Word(i);
    builder.AddMerge(word.substr(0, word.size() - 1), word.substr(word.size() - 1));
  }
  return builder;
}

VocabBuilder SentencePieceVocab() {
  VocabBuilder builder;
  builder.model = "llama";
  builder.Add("<unk>", kTypeUnknown);
  builder.Add("<s>", kTypeControl);
  builder.Add("</s>", kTypeControl);
  builder.AddByteTokens();
  for (int i = 0; i < 6000; ++i) builder.Add("<unused" + std::to_string(i) + ">", kTypeControl);
  builder.Add("\u2581", kTypeNormal, -1e6f);
  for (uint32_t i = 1; builder.tokens.size() < kTokens; ++i) {
    builder.Add(Word(i), kTypeNormal, -static_cast<float>(i));
  }
  return builder;
}

std::string Times(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

class CheckpointTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    VocabBuilder builder =
        std::string(GetParam()) == "gpt2" ? BytePairVocab() : SentencePieceVocab();
    if (builder.model == "gpt2") builder.scores.clear();
    path_ = ::testing::TempDir() + "lull_gaps_" + std::to_string(getpid()) + ".gguf";
    ASSERT_TRUE(builder.Write(path_).ok());
    ctx_.pacer = &meter_;
  }
  void TearDown() override { std::remove(path_.c_str()); }

  void Load() {
    tokenizer_.reset();
    auto file = GgufFile::Open(path_, ctx_);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    auto tokenizer = Tokenizer::Create(**file, ctx_);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    tokenizer_ = std::move(*tokenizer);
  }

  GapMeter meter_;
  ExecContext ctx_;
  std::string path_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(CheckpointTest, OpeningAndLoading) {
  ExpectGaps("load", meter_, kMaxGapMs, [&] {
    tokenizer_.reset();
    meter_.Start();
    Load();
  });
  EXPECT_EQ(tokenizer_->vocab_size(), kTokens);
}

TEST_P(CheckpointTest, EncodingAndDecoding) {
  Load();
  std::string english, word, specials;
  while (english.size() < 1'000'000) {
    english += "The quick brown fox, aged 12, jumps over the lazy dog's back.\n";
  }
  uint32_t state = 1;
  while (word.size() < 100'000) {
    state = state * 1664525 + 1013904223;
    word += static_cast<char>('a' + (state >> 16) % 26);
  }
  while (specials.size() < 1'000'000) specials += "<|special_7|><unused12>";
  const std::pair<const char*, std::string> texts[] = {
      {"english", english},
      {"word", word},
      {"one letter", std::string(100'000, 'a')},
      {"newlines", std::string(1'000'000, '\n')},
      {"spaces", std::string(1'000'000, ' ')},
      {"almost special", std::string(1'000'000, '<')},
      {"special", specials},
      {"a special token before a long text", "<|special_7|><unused12>" + english},
      {"odd widths", "a" + Times("\u00E9", 300'000)},
      {"odd widths, wide", "!" + Times("\U0001F600", 200'000)},
      {"malformed", std::string(1'000'000, '\x80')}};
  for (const auto& [name, text] : texts) {
    std::vector<int32_t> tokens;
    ExpectGaps((std::string("encode ") + name).c_str(), meter_, kMaxGapMs, [&] {
      tokens = {};
      meter_.Start();
      tokens = tokenizer_->Encode(ctx_, text, TokenizeOptions()).value();
    });
    ASSERT_GT(tokens.size(), 1u);
    std::string back;
    ExpectGaps((std::string("decode ") + name).c_str(), meter_, kMaxGapMs, [&] {
      back = {};
      meter_.Start();
      back = tokenizer_->Decode(ctx_, tokens, true);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CheckpointTest, ::testing::Values("gpt2", "llama"));

}  // namespace
}  // namespace lull
