// Random regular expressions and a judge of them: sets of positions, no automaton.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/random_weights.h"

namespace lull::grammar::testing {

struct RegexTree {
  enum class Kind { kSet, kSequence, kAlternatives, kRepeat };
  Kind kind = Kind::kSequence;
  std::function<bool(char32_t)> has{};  // of a set
  std::vector<RegexTree> parts{};
  size_t min = 1, max = 1;  // of a repetition; SIZE_MAX: no end
  std::string text{};       // as it is written

  using Ends = std::set<size_t>;
  // Where it may end that begins at one of the starts.
  Ends EndsFrom(const Ends& starts, const std::u32string& codes) const {
    Ends ends;
    switch (kind) {
      case Kind::kSet:
        for (size_t at : starts)
          if (at < codes.size() && has(codes[at])) ends.insert(at + 1);
        return ends;
      case Kind::kSequence:
        ends = starts;
        for (const RegexTree& part : parts) ends = part.EndsFrom(ends, codes);
        return ends;
      case Kind::kAlternatives:
        for (const RegexTree& part : parts) ends.merge(part.EndsFrom(starts, codes));
        return ends;
      case Kind::kRepeat:
        break;
    }
    Ends reached = starts;
    for (size_t i = 0; i < min; ++i) reached = parts[0].EndsFrom(reached, codes);
    for (size_t i = min; i < max; ++i) {
      ends.merge(Ends(reached));
      reached = parts[0].EndsFrom(reached, codes);
      if (std::includes(ends.begin(), ends.end(), reached.begin(), reached.end())) break;
    }
    ends.merge(reached);
    return ends;
  }
  bool Matches(const std::u32string& codes) const {
    return EndsFrom({0}, codes).contains(codes.size());
  }
  bool Finds(const std::u32string& codes) const {
    Ends starts;
    for (size_t at = 0; at <= codes.size(); ++at) starts.insert(at);
    return !EndsFrom(starts, codes).empty();
  }
};

class RandomRegex {
 public:
  explicit RandomRegex(uint64_t seed) : random_(seed) {}

  RegexTree Make(int depth = 2) {
    RegexTree tree{.kind = RegexTree::Kind::kAlternatives};
    for (uint64_t i = 0; i <= Below(2); ++i) {
      tree.parts.push_back(Sequence(depth));
      if (i > 0) tree.text += '|';
      tree.text += tree.parts.back().text;
    }
    return tree;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

  RegexTree Sequence(int depth) {
    RegexTree tree{.kind = RegexTree::Kind::kSequence};
    for (uint64_t i = 0; i <= Below(3); ++i) {
      tree.parts.push_back(Repeat(Below(3) == 0 && depth > 0 ? Group(depth) : Set()));
      tree.text += tree.parts.back().text;
    }
    return tree;
  }

  RegexTree Group(int depth) {
    RegexTree tree = Make(depth - 1);
    tree.text.insert(0, Below(2) == 0 ? "(" : "(?:");
    tree.text += ')';
    return tree;
  }

  RegexTree Repeat(RegexTree part) {
    struct Quantifier {
      const char* text;
      size_t min, max;
    };
    static constexpr Quantifier kQuantifiers[] = {
        {"*", 0, SIZE_MAX}, {"+", 1, SIZE_MAX},    {"?", 0, 1},     {"{2}", 2, 2},
        {"{0}", 0, 0},      {"{1,}", 1, SIZE_MAX}, {"{0,3}", 0, 3}, {"{2,4}?", 2, 4}};
    if (Below(2) == 0) return part;
    const Quantifier& chosen = kQuantifiers[Below(std::size(kQuantifiers))];
    RegexTree tree{.kind = RegexTree::Kind::kRepeat, .min = chosen.min, .max = chosen.max};
    tree.text = part.text + chosen.text;
    tree.parts.push_back(std::move(part));
    return tree;
  }

  RegexTree Set() {
    struct Known {
      const char* text;
      bool (*has)(char32_t);
    };
    static constexpr auto kDigit = [](char32_t c) { return c >= '0' && c <= '9'; };
    static constexpr auto kWord = [](char32_t c) {
      return kDigit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    static constexpr auto kSpace = [](char32_t c) { return c == ' ' || (c >= 9 && c <= 13); };
    static constexpr Known kSets[] = {
        {"a", [](char32_t c) { return c == 'a'; }},
        {"b", [](char32_t c) { return c == 'b'; }},
        {" ", [](char32_t c) { return c == ' '; }},
        {"\"", [](char32_t c) { return c == '"'; }},
        {"\\\\", [](char32_t c) { return c == '\\'; }},
        {"\\u20AC", [](char32_t c) { return c == 0x20AC; }},
        {"\xC3\xA9", [](char32_t c) { return c == 0xE9; }},
        {"\\.", [](char32_t c) { return c == '.'; }},
        {".", [](char32_t c) { return c != '\n' && c != '\r' && c != 0x2028 && c != 0x2029; }},
        {"[ab]", [](char32_t c) { return c == 'a' || c == 'b'; }},
        {"[^ab]", [](char32_t c) { return c != 'a' && c != 'b'; }},
        {"[a-c\\]\xC3\xA9-]",
         [](char32_t c) { return (c >= 'a' && c <= 'c') || c == ']' || c == 0xE9 || c == '-'; }},
        {"[^\\d ]", [](char32_t c) { return !kDigit(c) && c != ' '; }},
        {"\\d", kDigit},
        {"\\w", kWord},
        {"\\s", kSpace},
        {"[\\d\\s]", [](char32_t c) { return kDigit(c) || kSpace(c); }},
    };
    const Known& chosen = kSets[Below(std::size(kSets))];
    return {.kind = RegexTree::Kind::kSet, .has = chosen.has, .text = chosen.text};
  }

  TestRandom random_;
};

}  // namespace lull::grammar::testing
