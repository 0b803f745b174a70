#include "tokenizer/word_pattern.h"

#include <algorithm>
#include <string>
#include <utility>

namespace lull {

// Recursive descent over the pattern; its nesting is bounded below.
class WordPatternParser {
 public:
  explicit WordPatternParser(std::string_view pattern) : pattern_(pattern) {}

  Result<WordPattern> Parse() {
    WordPattern result;
    ParseAlternation(0, &result.root_);
    if (!failed_ && pos_ != pattern_.size()) Fail("unbalanced )");
    if (failed_) return Error{ErrorCode::kInternal, message_, std::string(pattern_), {}};
    return result;
  }

 private:
  static constexpr int kMaxDepth = 8;

  void Fail(const char* message) {
    if (!failed_)
      message_ = std::string("word pattern: ") + message + " at " + std::to_string(pos_);
    failed_ = true;
  }
  bool AtEnd() const { return failed_ || pos_ >= pattern_.size(); }
  bool Accept(std::string_view text) {
    if (pattern_.substr(std::min(pos_, pattern_.size()), text.size()) != text) return false;
    pos_ += text.size();
    return true;
  }

  void ParseAlternation(int depth, WordPattern::Alternation* out) {
    if (depth > kMaxDepth) return Fail("nested too deeply");
    do {
      out->sequences.emplace_back();
      while (!AtEnd() && pattern_[pos_] != '|' && pattern_[pos_] != ')') {
        ParseItem(depth, &out->sequences.back());
      }
      if (out->sequences.back().size() > WordPattern::kMaxItems) Fail("sequence too long");
    } while (!AtEnd() && Accept("|"));
  }

  void ParseItem(int depth, WordPattern::Sequence* sequence) {
    using Kind = WordPattern::Item::Kind;
    WordPattern::Item item;
    if (Accept("$")) {
      item.kind = Kind::kEnd;
      sequence->push_back(std::move(item));
      return;
    }
    if (Accept("(?=") || Accept("(?!")) {
      item.kind = pattern_[pos_ - 1] == '=' ? Kind::kLookahead : Kind::kNegativeLookahead;
      ParseSet(&item.set);
      if (!Accept(")")) Fail("a lookahead takes one set");
      sequence->push_back(std::move(item));
      return;
    }
    if (Accept("(")) {
      ParseGroup(depth, &item);
    } else {
      ParseSet(&item.set);
    }
    ParseQuantifier(&item);
    sequence->push_back(std::move(item));
  }

  void ParseGroup(int depth, WordPattern::Item* item) {
    const bool outer_fold = fold_case_;
    if (Accept("?i:")) {
      fold_case_ = true;
    } else {
      Accept("?:");
    }
    auto group = std::make_shared<WordPattern::Alternation>();
    ParseAlternation(depth + 1, group.get());
    if (!Accept(")")) Fail("missing )");
    fold_case_ = outer_fold;
    item->kind = WordPattern::Item::Kind::kGroup;
    item->group = std::move(group);
  }

  void ParseQuantifier(WordPattern::Item* item) {
    if (Accept("?")) {
      item->min = 0;
    } else if (Accept("*")) {
      item->min = 0;
      item->max = WordPattern::kUnlimited;
    } else if (Accept("+")) {
      item->max = WordPattern::kUnlimited;
    } else if (Accept("{")) {
      item->min = item->max = ParseNumber();
      if (Accept(",")) item->max = ParseNumber();
      if (!Accept("}")) Fail("missing }");
    }
  }

  uint32_t ParseNumber() {
    uint32_t value = 0;
    const size_t start = pos_;
    while (!AtEnd() && pattern_[pos_] >= '0' && pattern_[pos_] <= '9' && value < 100000) {
      value = value * 10 + static_cast<uint32_t>(pattern_[pos_++] - '0');
    }
    if (pos_ == start) Fail("number expected");
    return value;
  }

  // One character, escape or [...].
  void ParseSet(CharSet* set) {
    if (AtEnd()) return Fail("set expected");
    if (!Accept("[")) {
      uint32_t code = 0;
      if (ParseAtom(set, &code)) set->AddCode(code);
      if (fold_case_) set->FoldAsciiCase();
      return;
    }
    const bool negated = Accept("^");
    while (!AtEnd() && pattern_[pos_] != ']') {
      if (Accept("&&")) {
        if (negated) Fail("&& in a negated set");
        CharSet other;
        ParseSet(&other);
        set->IntersectWith(other);
        continue;
      }
      uint32_t first = 0;
      if (!ParseAtom(set, &first)) continue;
      uint32_t last = first;
      if (pos_ + 1 < pattern_.size() && pattern_[pos_] == '-' && pattern_[pos_ + 1] != ']') {
        ++pos_;
        if (!ParseAtom(set, &last)) Fail("range without end");
      }
      set->AddRange(first, last);
    }
    if (!Accept("]")) Fail("missing ]");
    if (fold_case_) set->FoldAsciiCase();
    if (negated) set->Negate();
  }

  // True with the code point of a single character; false where a class was added to set.
  bool ParseAtom(CharSet* set, uint32_t* code) {
    *code = NextCodePoint(pattern_, &pos_);
    if (*code != '\\') return true;
    if (AtEnd()) {
      Fail("escape expected");
      return true;
    }
    const char escape = pattern_[pos_++];
    switch (escape) {
      case 'r':
        *code = '\r';
        return true;
      case 'n':
        *code = '\n';
        return true;
      case 't':
        *code = '\t';
        return true;
      case 's':
        set->AddClasses(kWhitespace);
        return false;
      case 'S':
        set->AddNonSpace();
        return false;
      case 'p':
        return ParseProperty(set);
      default:
        *code = static_cast<uint8_t>(escape);
        return true;
    }
  }

  bool ParseProperty(CharSet* set) {
    if (Accept("{L}")) {
      set->AddClasses(kLetter);
    } else if (Accept("{N}")) {
      set->AddClasses(kNumber);
    } else if (Accept("{P}")) {
      set->AddClasses(kPunctuation);
    } else if (Accept("{S}")) {
      set->AddClasses(kSymbol);
    } else if (Accept("{M}")) {
      set->AddClasses(kMark);
    } else {
      Fail("unknown property");
    }
    return false;
  }

  std::string_view pattern_;
  size_t pos_ = 0;
  bool fold_case_ = false;
  bool failed_ = false;
  std::string message_;
};

Result<WordPattern> WordPattern::Compile(std::string_view pattern) {
  return WordPatternParser(pattern).Parse();
}

class WordPattern::Matcher {
 public:
  Matcher(std::span<const uint32_t> codes, uint32_t end, WorkMeter* meter)
      : codes_(codes), end_(end), meter_(meter) {}

  // End of the match at pos, or kNoMatch. Depth is that of the pattern's groups.
  uint32_t MatchAny(const Alternation& alternation, uint32_t pos) {
    for (const Sequence& sequence : alternation.sequences) {
      const uint32_t match = MatchSequence(sequence, pos);
      if (match != kNoMatch) return match;
    }
    return kNoMatch;
  }

  uint32_t MatchSequence(const Sequence& sequence, uint32_t pos) {
    struct Choice {
      uint32_t item, fewest, pos;
    };
    Choice choices[kMaxItems];
    size_t num_choices = 0;
    for (uint32_t i = 0; i < sequence.size();) {
      const Item& item = sequence[i];
      uint32_t next = MatchItem(item, pos);
      if (next != kNoMatch) {
        if (item.kind == Item::Kind::kSet && next - pos > item.min) {
          choices[num_choices++] = {i, pos + item.min, next};
        }
        pos = next;
        ++i;
        continue;
      }
      while (num_choices > 0 && choices[num_choices - 1].pos == choices[num_choices - 1].fewest) {
        --num_choices;
      }
      if (num_choices == 0) return kNoMatch;
      Choice& choice = choices[num_choices - 1];
      meter_->Spend(1);
      pos = --choice.pos;
      i = choice.item + 1;
    }
    return pos;
  }

  // Where the item's set stops matching, at most item.max code points on.
  uint32_t RunEnd(const Item& item, uint32_t pos) {
    const uint32_t limit = item.max < end_ - pos ? pos + item.max : end_;
    while (pos < limit && item.set.Has(codes_[pos])) {
      ++pos;
      if ((pos & 0xFF) == 0) meter_->Spend(0x100);
    }
    return pos;
  }

 private:
  uint32_t MatchItem(const Item& item, uint32_t pos) {
    switch (item.kind) {
      case Item::Kind::kSet:
        return MatchSet(item, pos);
      case Item::Kind::kGroup:
        return MatchGroup(item, pos);
      case Item::Kind::kLookahead:
        return Sees(item, pos) ? pos : kNoMatch;
      case Item::Kind::kNegativeLookahead:
        return Sees(item, pos) ? kNoMatch : pos;
      case Item::Kind::kEnd:
        return pos == end_ ? pos : kNoMatch;
    }
    return kNoMatch;
  }

  bool Sees(const Item& item, uint32_t pos) const {
    return pos < end_ && item.set.Has(codes_[pos]);
  }

  uint32_t MatchSet(const Item& item, uint32_t pos) {
    const uint32_t next = RunEnd(item, pos);
    return next - pos >= item.min ? next : kNoMatch;
  }

  uint32_t MatchGroup(const Item& item, uint32_t pos) {
    for (uint32_t count = 0; count < item.max; ++count) {
      meter_->Spend(1);
      const uint32_t next = MatchAny(*item.group, pos);
      if (next == kNoMatch || next == pos) return count >= item.min ? pos : kNoMatch;
      pos = next;
    }
    return pos;
  }

  std::span<const uint32_t> codes_;
  uint32_t end_;
  WorkMeter* meter_;
};

void WordPattern::Split(std::span<const uint32_t> codes, uint32_t begin, uint32_t end,
                        WorkMeter* meter, std::vector<uint32_t>* ends) const {
  Matcher matcher(codes, end, meter);
  // Where "x+..." failed at one start it fails at every later start in the same run of x: a
  // shorter choice from the same ends. Remembering the run's end keeps the search linear.
  std::vector<uint32_t> hopeless_until(root_.sequences.size(), begin);
  uint32_t piece = begin;
  for (uint32_t pos = begin; pos < end;) {
    meter->Spend(2);
    uint32_t match = kNoMatch;
    for (size_t i = 0; i < root_.sequences.size() && match == kNoMatch; ++i) {
      const Sequence& sequence = root_.sequences[i];
      if (pos < hopeless_until[i]) continue;
      match = matcher.MatchSequence(sequence, pos);
      if (match != kNoMatch || sequence.empty()) continue;
      const Item& first = sequence.front();
      if (first.kind != Item::Kind::kSet || first.max != kUnlimited || first.min > 1) continue;
      hopeless_until[i] = matcher.RunEnd(first, pos);
    }
    if (match == kNoMatch || match == pos) {
      ++pos;
      continue;
    }
    if (piece < pos) ends->push_back(pos);
    ends->push_back(match);
    piece = pos = match;
  }
  if (piece < end) ends->push_back(end);
}

}  // namespace lull
