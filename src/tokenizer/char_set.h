// A set of code points: a bitmap for ASCII, character classes and ranges beyond.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "tokenizer/unicode.h"

namespace lull {

// White space beyond ASCII is a member exactly where the vertical tab is: the pre-tokenizers know
// it by \s alone, and never by a range that happens to cover it.
class CharSet {
 public:
  void AddCode(uint32_t code) { AddRange(code, code); }
  void AddRange(uint32_t first, uint32_t last) {
    for (uint32_t code = first; code <= last && code < 0x80; ++code) ascii_[code] = true;
    if (last >= 0x80) ranges_.emplace_back(first < 0x80 ? 0x80 : first, last);
  }
  // Every code point that has one of the class bits.
  void AddClasses(uint8_t classes) {
    for (uint32_t code = 0; code < 0x80; ++code) ascii_[code] |= (ClassOf(code) & classes) != 0;
    classes_ |= classes;
  }
  void AddNonSpace() {
    AddClasses(static_cast<uint8_t>(~kWhitespace & ~kControl));
    classes_ |= kControl;
    for (uint32_t code = 0; code < 0x80; ++code) ascii_[code] |= (ClassOf(code) & kWhitespace) == 0;
  }
  // Letters A-Z and a-z also match in the other case.
  void FoldAsciiCase() {
    for (uint32_t code = 'a'; code <= 'z'; ++code) {
      const bool member = ascii_[code] || ascii_[code - 32];
      ascii_[code] = ascii_[code - 32] = member;
    }
  }
  void Negate() {
    for (bool& member : ascii_) member = !member;
    negated_ = !negated_;
  }
  // Only codes that are in both: what a lookahead before a set means.
  void IntersectWith(const CharSet& other) {
    for (size_t i = 0; i < ascii_.size(); ++i) ascii_[i] = ascii_[i] && other.ascii_[i];
    required_.push_back(other);
  }

  bool Has(uint32_t code) const {
    if (code < 0x80) return ascii_[code];
    return HasBeyondAscii(code, ClassOf(code));
  }

 private:
  bool HasBeyondAscii(uint32_t code, uint8_t char_class) const {
    if ((char_class & kWhitespace) != 0) return ascii_['\v'];
    for (const CharSet& other : required_) {
      if (!other.HasBeyondAscii(code, char_class)) return false;
    }
    bool member = (char_class & classes_) != 0;
    for (size_t i = 0; i < ranges_.size() && !member; ++i) {
      member = ranges_[i].first <= code && code <= ranges_[i].second;
    }
    return member != negated_;
  }

  std::array<bool, 128> ascii_{};
  uint8_t classes_ = 0;
  bool negated_ = false;
  std::vector<std::pair<uint32_t, uint32_t>> ranges_;
  std::vector<CharSet> required_;
};

}  // namespace lull
