// A vocabulary small enough to try every token, and walks through grammars over it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "grammar/constraint.h"
#include "grammar/constraint_factory.h"
#include "tests/support/random_weights.h"
#include "tests/tokenizer/vocab_builder.h"

namespace lull::grammar {

class Bench {
 public:
  enum class Family { kBytePair, kSentencePiece };

  explicit Bench(Family family = Family::kBytePair) {
    VocabBuilder builder;
    const bool byte_level = family == Family::kBytePair;
    const auto add = [&](const std::string& text) {
      std::string visible;
      for (char c : text) visible += c == ' ' ? std::string("\xE2\x96\x81") : std::string(1, c);
      builder.Add(byte_level ? ByteLevelText(text) : visible);
    };
    if (byte_level) {
      builder.AddByteLevelAlphabet();
    } else {
      builder.model = "llama";
      builder.Add("<unk>", kTypeUnknown);
      builder.AddByteTokens();
      for (char c = ' '; c < 127; ++c) add(std::string(1, c));
      builder.writer.AddBool("tokenizer.ggml.add_space_prefix", true);
    }
    for (const char* text :
         {"ab",       " a",       " b",    "  ",     "\n  ",     "{\"",  "\":",      "\": ",
          "\",",      "\", \"",   "\"}",   "\"]",    "},",       "}}",   "]}",       "{}",
          "[]",       ", \"",     "true",  "false",  "null",     "12",   "1.",       ".5",
          "-1",       "e+",       "\\n",   "\\\"",   "\\u",      "00",   "hello",    " world",
          "\xC3\xA9", "\xE2\x82", "a\xC3", "\"a\":", "\"a\": 1", "name", "\"name\"", "value",
          "yes",      "no",       "thing", "c\"",    "bc",       "cab"}) {
      add(text);
    }
    control_ = builder.Add("<|control|>", kTypeControl);
    end_ = builder.Add("<|im_end|>", kTypeControl);
    if (!byte_level) builder.scores.assign(builder.tokens.size(), 0.0f);
    if (byte_level) builder.merges = {"a b"};
    if (byte_level) builder.writer.AddString("tokenizer.ggml.pre", "smollm");
    builder.writer.AddUint32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(end_));
    auto tokenizer = builder.Build();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    tokenizer_ = std::move(*tokenizer);
    vocabulary_ = std::make_shared<const TokenVocabulary>(*tokenizer_, ExecContext());
  }

  explicit Bench(std::unique_ptr<Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
    vocabulary_ = std::make_shared<const TokenVocabulary>(*tokenizer_, ExecContext());
    end_ = vocabulary_->ends().front();
  }

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  std::shared_ptr<const TokenVocabulary> vocabulary() const { return vocabulary_; }
  int32_t end() const { return end_; }
  int32_t control() const { return control_; }
  int32_t vocab_size() const { return static_cast<int32_t>(vocabulary_->vocab_size()); }
  size_t words() const { return (static_cast<size_t>(vocab_size()) + 31) / 32; }
  std::string Text(int32_t token) const { return std::string(vocabulary_->BytesOf(token)); }
  // The last token with these bytes.
  int32_t TokenOf(std::string_view bytes) const {
    for (int32_t token = vocab_size() - 1; token >= 0; --token) {
      if (vocabulary_->BytesOf(token) == bytes) return token;
    }
    ADD_FAILURE() << "no token " << bytes;
    return 0;
  }

  std::unique_ptr<Constraint> New(const std::shared_ptr<Grammar>& grammar) const {
    return std::make_unique<Constraint>(grammar, vocabulary_, ExecContext());
  }
  std::unique_ptr<Constraint> New(const GrammarSpec& spec) const {
    auto grammar = Grammar::Compile(spec);
    EXPECT_TRUE(grammar.ok()) << grammar.status().ToString();
    return New(*grammar);
  }

  std::vector<int32_t> Allowed(Constraint& constraint) const {
    std::vector<uint32_t> mask(words());
    const Status status = constraint.FillMask(mask);
    EXPECT_TRUE(status.ok()) << status.ToString();
    std::vector<int32_t> tokens;
    for (int32_t token = 0; token < vocab_size(); ++token) {
      if ((mask[token / 32] >> (token % 32) & 1) != 0) tokens.push_back(token);
    }
    return tokens;
  }
  bool EndAllowed(Constraint& constraint) const {
    const std::vector<int32_t> allowed = Allowed(constraint);
    return std::binary_search(allowed.begin(), allowed.end(), end_);
  }

  bool AcceptBytes(Constraint& constraint, std::string_view text) const {
    for (char c : text) {
      if (!constraint.Accept(ByteToken(c)).ok()) return false;
    }
    return true;
  }
  // The whole text, and nothing may be missing.
  bool Accepts(const GrammarSpec& spec, std::string_view text) const {
    auto constraint = New(spec);
    return AcceptBytes(*constraint, text) && constraint->Accept(end_).ok();
  }

 private:
  int32_t ByteToken(char c) const {
    if (byte_tokens_.empty()) {
      byte_tokens_.assign(256, -1);
      for (int32_t token = vocab_size() - 1; token >= 0; --token) {
        const std::string_view bytes = vocabulary_->BytesOf(token);
        if (bytes.size() == 1) byte_tokens_[static_cast<uint8_t>(bytes[0])] = token;
      }
    }
    return byte_tokens_[static_cast<uint8_t>(c)];
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const TokenVocabulary> vocabulary_;
  int32_t end_ = 0, control_ = 0;
  mutable std::vector<int32_t> byte_tokens_;
};

}  // namespace lull::grammar
