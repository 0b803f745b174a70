// Finds tokens that are taken as a whole before the text between them is tokenized.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "base/work_meter.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/vocabulary.h"

namespace lull {

// A token (token >= 0) or text[begin, begin + size) still to be tokenized.
struct Fragment {
  int32_t token = kNoToken;
  size_t begin = 0;
  size_t size = 0;
};

class SpecialTokens {
 public:
  // all: also control and unknown tokens, not user-defined ones alone.
  SpecialTokens(const Vocabulary& vocab, bool all, WorkMeter* meter);

  // Longer tokens win over shorter ones wherever they overlap, then the order of vocab.special,
  // then the leftmost. Time linear in the text (times the longest special token's length).
  std::vector<Fragment> Split(std::string_view text, WorkMeter* meter) const;

 private:
  struct Node {
    int32_t rank = -1;  // in tokens_, -1 where no token ends here
  };
  struct Token {
    int32_t id;
    uint32_t size;
    int32_t shorter;  // rank of the longest token that is a proper prefix, -1 for none
    bool strip_left, strip_right;
  };
  // An occurrence, in text order; rank is lowered to what is left for it, -1 for nothing. In a
  // deque because growing must not copy megabytes between two checkpoints.
  struct Match {
    int32_t rank;
    size_t begin;
  };
  using Matches = std::deque<Match>;

  bool Takes(const Vocabulary& vocab, int32_t id, bool all) const;
  int32_t Child(int32_t node, char byte) const;
  int32_t LongestAt(std::string_view text, size_t begin, WorkMeter* meter) const;
  void Resolve(std::string_view text, Matches* matches, std::vector<bool>* taken,
               WorkMeter* meter) const;
  void Strip(std::string_view text, const Match& match, std::vector<bool>* taken,
             WorkMeter* meter) const;

  std::vector<Token> tokens_;  // by rank: in the order in which they take text
  std::vector<Node> nodes_;
  PairTable edges_;                 // (node, byte) -> node
  std::array<bool, 256> starts_{};  // bytes that some token starts with
};

}  // namespace lull
