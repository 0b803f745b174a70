// The small part of regular expressions that pre-tokenizers are written in, matched over code
// points without recursion on the text.
//
// Syntax: a|b, (?:...), (?i:...) for ASCII, sets [...] and [...&&[...]], escapes \r \n \t \s \S
// \p{L} \p{N} \p{P} \p{S} \p{M}, quantifiers ? * + {m} {m,n}, lookahead (?=x) and (?!x) on one set,
// $ for the end of the piece. Alternatives are tried in order and quantifiers are greedy, as in
// Perl; one difference: a quantified group never gives back a repetition (write sets, not groups,
// where backtracking matters).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "lull/status.h"
#include "tokenizer/char_set.h"
#include "base/work_meter.h"

namespace lull {

class WordPattern {
 public:
  static Result<WordPattern> Compile(std::string_view pattern);

  // Splits codes[begin, end) into matches and the gaps between them, appending the end index of
  // each piece to ends.
  void Split(std::span<const uint32_t> codes, uint32_t begin, uint32_t end, WorkMeter* meter,
             std::vector<uint32_t>* ends) const;

 private:
  friend class WordPatternParser;

  static constexpr uint32_t kUnlimited = UINT32_MAX;
  static constexpr uint32_t kNoMatch = UINT32_MAX;
  static constexpr size_t kMaxItems = 32;  // of one sequence

  struct Alternation;
  struct Item {
    enum class Kind { kSet, kGroup, kLookahead, kNegativeLookahead, kEnd };
    Kind kind = Kind::kSet;
    uint32_t min = 1, max = 1;
    CharSet set;
    std::shared_ptr<const Alternation> group;
  };
  using Sequence = std::vector<Item>;
  struct Alternation {
    std::vector<Sequence> sequences;
  };

  class Matcher;

  Alternation root_;
};

}  // namespace lull
