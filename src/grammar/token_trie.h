// Tokens by their bytes, as a prefix tree in one flat array: a walk goes forward and leaps over
// what it need not see. Immutable, thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/work_meter.h"

namespace lull::grammar {

class TokenTrie {
 public:
  struct Entry {
    std::string_view bytes;  // not empty
    int32_t token;
  };
  TokenTrie() = default;
  // Sorts the entries; keeps no view into them.
  TokenTrie(std::vector<Entry> entries, WorkMeter* meter);

  // Nodes in order: each before its children, children by byte.
  int32_t num_nodes() const { return static_cast<int32_t>(bytes_.size()); }
  bool empty() const { return bytes_.empty(); }
  uint8_t byte(int32_t node) const { return bytes_[node]; }
  // Bytes from the root, this one included: at least 1.
  int32_t depth(int32_t node) const { return depths_[node]; }
  // The first node that is not below this one.
  int32_t end(int32_t node) const { return ends_[node]; }
  // The tokens that end at the node; those at and below it, in node order.
  std::span<const int32_t> Tokens(int32_t node) const {
    return Slice(first_token_[node], first_token_[node + 1]);
  }
  std::span<const int32_t> TokensBelow(int32_t node) const {
    return Slice(first_token_[node], first_token_[ends_[node]]);
  }
  int32_t max_depth() const { return max_depth_; }
  int64_t memory_bytes() const;

 private:
  std::span<const int32_t> Slice(int32_t begin, int32_t end) const {
    return std::span(tokens_).subspan(begin, end - begin);
  }

  std::vector<uint8_t> bytes_;
  std::vector<int32_t> depths_, ends_;
  std::vector<int32_t> first_token_;  // [num_nodes + 1]
  std::vector<int32_t> tokens_;
  int32_t max_depth_ = 0;
};

}  // namespace lull::grammar
