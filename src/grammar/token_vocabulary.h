// A tokenizer's tokens as grammars need them. Immutable but for the masks it remembers,
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/exec_context.h"
#include "grammar/mask_cache.h"
#include "grammar/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace lull::grammar {

// What the tokens do within a JSON string, by the code points that they need: masks of strings of
// any length bounds follow from it without a walk.
struct StringTokens {
  struct Stay {
    uint32_t codes = 0;  // complete ones, and one more where it ends within one
    int32_t token = 0;
  };
  struct Close {
    uint32_t codes;
    uint32_t bytes;  // up to and with the closing quote
    int32_t token = 0;
  };
  std::vector<Stay> stays;  // ascending by codes
  std::vector<Close> closes;
  std::vector<uint32_t> all_stays;  // bits
};

class TokenVocabulary {
 public:
  // Keeps no reference to the tokenizer.
  TokenVocabulary(const Tokenizer& tokenizer, const ExecContext& ctx);

  int64_t vocab_size() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  // Every token with text, but none that ends the generation.
  const TokenTrie& trie() const { return trie_; }
  // Empty for control tokens.
  std::string_view BytesOf(int32_t token) const {
    return std::string_view(bytes_).substr(offsets_[token], offsets_[token + 1] - offsets_[token]);
  }
  const std::vector<int32_t>& ends() const { return ends_; }  // end-of-generation tokens
  bool IsEnd(int32_t token) const;
  // The first blank of an answer is dropped when the tokens become text.
  bool strips_first_space() const { return strips_first_space_; }
  const StringTokens& string_tokens() const { return string_tokens_; }
  // Opening brackets in one token, at most.
  int32_t max_openers() const { return max_openers_; }
  // Of the states that every grammar has.
  MaskCache& masks() const { return masks_; }

  static constexpr int64_t kMaxMaskBytes = 8 << 20;  // of masks()

 private:
  void FindStringTokens(WorkMeter* meter);

  std::string bytes_;
  std::vector<uint32_t> offsets_;  // [vocab_size + 1]
  std::vector<int32_t> ends_;
  bool strips_first_space_ = false;
  int32_t max_openers_ = 0;
  TokenTrie trie_;
  StringTokens string_tokens_;
  mutable MaskCache masks_{kMaxMaskBytes};
};

}  // namespace lull::grammar
