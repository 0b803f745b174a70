// A set of Unicode scalar values, and the UTF-8 byte sequences of its members.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace lull::grammar {

inline constexpr uint32_t kMaxCode = 0x10FFFF;

// Surrogates are never members.
class CodeSet {
 public:
  using Range = std::pair<uint32_t, uint32_t>;  // first and last

  CodeSet() = default;
  CodeSet(std::initializer_list<Range> ranges) {
    for (const Range& range : ranges) Add(range.first, range.second);
  }

  void Add(uint32_t first, uint32_t last);
  void Add(const CodeSet& other);
  CodeSet Complement() const;
  CodeSet Minus(const CodeSet& other) const;

  bool Has(uint32_t code) const;
  bool empty() const { return ranges_.empty(); }
  // Ascending, apart from each other.
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  void AddPiece(uint32_t first, uint32_t last);
  std::vector<Range> ranges_;
};

// One to four byte ranges in a row.
struct ByteSequence {
  int size = 0;
  uint8_t low[4] = {};
  uint8_t high[4] = {};
};
// The sequences whose members are the UTF-8 forms of the set's codes, each exactly once.
std::vector<ByteSequence> Utf8Sequences(const CodeSet& set);

bool IsValidUtf8(std::string_view text);

}  // namespace lull::grammar
