#include "grammar/regex.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/unicode.h"

namespace lull::grammar {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxRegexBytes = 65536;
constexpr uint32_t kMaxRepeat = 100'000;
constexpr uint32_t kUnlimited = UINT32_MAX;

// \d, \w and \s differ between the dialects of regular expressions. What is written must be right
// in all of them: so the class itself is what all have in it, and what is outside is what none has.
struct ClassEscape {
  char letter = 0;
  CodeSet narrow, wide;
};

// Adds every code point that has one of the class bits.
void AddClasses(uint8_t classes, WorkMeter* meter, CodeSet* set) {
  uint32_t first = 0;
  for (uint32_t code = 0; code <= kMaxCode + 1; ++code) {
    if ((code & 0xFF) == 0) meter->Spend(0x40);
    if (code <= kMaxCode && (ClassOf(code) & classes) != 0) continue;
    if (code > first) set->Add(first, code - 1);
    first = code + 1;
  }
}

std::vector<ClassEscape> MakeClassEscapes(WorkMeter* meter) {
  std::vector<ClassEscape> escapes = {
      {'d', {{'0', '9'}}, {}},
      {'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, {}},
      {'s', {{'\t', '\r'}, {' ', ' '}}, {{0x1C, 0x1F}, {0x180E, 0x180E}, {0xFEFF, 0xFEFF}}}};
  constexpr uint8_t kClasses[] = {kNumber, kNumber | kLetter | kMark, kWhitespace};
  for (size_t i = 0; i < escapes.size(); ++i) {
    escapes[i].wide.Add(escapes[i].narrow);
    AddClasses(kClasses[i], meter, &escapes[i].wide);
  }
  return escapes;
}

// Null where the letter names no class; its capital names what is outside.
const ClassEscape* FindClass(char letter, WorkMeter* meter) {
  if (std::string_view("dwsDWS").find(letter) == std::string_view::npos) return nullptr;
  static const std::vector<ClassEscape> escapes = MakeClassEscapes(meter);
  const auto it = std::find_if(escapes.begin(), escapes.end(), [&](const ClassEscape& escape) {
    return escape.letter == (letter | 0x20);
  });
  return &*it;
}

CodeSet AllCodes() { return {{0, kMaxCode}}; }

struct Item;
using Sequence = std::vector<Item>;
struct Item {
  enum class Kind { kSet, kGroup, kBegin, kEnd };
  Kind kind = Kind::kSet;
  CodeSet set;
  std::vector<Sequence> alternatives;  // of a group
  uint32_t min = 1, max = 1;
};

class Parser {
 public:
  Parser(std::string_view text, AutomatonBuilder* builder) : text_(text), builder_(builder) {}

  bool Parse(std::vector<Sequence>* alternatives) {
    if (!ParseAlternatives(0, alternatives)) return false;
    return at_end() || Fail("an unmatched ')'");
  }
  const std::string& problem() const { return problem_; }
  size_t position() const { return problem_at_; }
  bool unsupported() const { return unsupported_; }

 private:
  bool Fail(std::string problem) {
    if (!problem_.empty()) return false;
    problem_ = std::move(problem);
    problem_at_ = pos_;
    return false;
  }
  bool Refuse(std::string problem) {
    unsupported_ = true;
    return Fail(std::move(problem));
  }
  bool at_end() const { return pos_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[pos_]; }
  bool Take(std::string_view wanted) {
    if (!text_.substr(pos_).starts_with(wanted)) return false;
    pos_ += wanted.size();
    return true;
  }

  bool ParseAlternatives(int depth, std::vector<Sequence>* alternatives) {
    if (depth > kMaxDepth) {
      return Refuse("groups nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    do {
      alternatives->emplace_back();
      while (!at_end() && peek() != '|' && peek() != ')') {
        if (!ParseItem(depth, &alternatives->back())) return false;
      }
    } while (Take("|"));
    return true;
  }

  bool ParseItem(int depth, Sequence* sequence) {
    builder_->Spend(4);
    Item item;
    if (Take("^")) {
      item.kind = Item::Kind::kBegin;
    } else if (Take("$")) {
      item.kind = Item::Kind::kEnd;
    } else if (Take("(")) {
      item.kind = Item::Kind::kGroup;
      if (!ParseGroupKind() || !ParseAlternatives(depth + 1, &item.alternatives)) return false;
      if (!Take(")")) return Fail("a '(' without its ')'");
    } else if (Take("[")) {
      if (!ParseSet(&item.set)) return false;
    } else if (Take(".")) {
      item.set = AllCodes().Minus({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
    } else if (Take("\\")) {
      if (!ParseEscape(false, &item.set)) return false;
    } else if (peek() == '*' || peek() == '+' || peek() == '?') {
      return Fail("a quantifier with nothing before it");
    } else {
      const uint32_t code = NextCodePoint(text_, &pos_);
      item.set.Add(code, code);
    }
    if (!ParseQuantifier(&item)) return false;
    sequence->push_back(std::move(item));
    return true;
  }

  bool ParseGroupKind() {
    if (!Take("?")) return true;
    if (Take(":")) return true;
    if (Take("=") || Take("!") || Take("<=") || Take("<!")) {
      return Refuse("lookahead and lookbehind are not regular");
    }
    if (!Take("<") && !Take("P<")) return Refuse("a group of this kind");
    while (!at_end() && peek() != '>') ++pos_;
    return Take(">") || Fail("a group name without '>'");
  }

  bool ParseQuantifier(Item* item) {
    const size_t begin = pos_;
    if (Take("*")) {
      item->min = 0, item->max = kUnlimited;
    } else if (Take("+")) {
      item->max = kUnlimited;
    } else if (Take("?")) {
      item->min = 0;
    } else if (peek() != '{' || !ParseBounds(item)) {
      return problem_.empty();
    }
    if (item->kind == Item::Kind::kBegin || item->kind == Item::Kind::kEnd) {
      pos_ = begin;
      return Fail("a quantifier after an anchor");
    }
    Take("?");
    if (peek() == '+' || peek() == '*' || peek() == '?') return Fail("two quantifiers in a row");
    return true;
  }

  // {m}, {m,} or {m,n}; false with no problem where it is a brace and no quantifier.
  bool ParseBounds(Item* item) {
    const size_t begin = pos_++;
    const auto number = [&](uint32_t* value) {
      const size_t first = pos_;
      uint64_t sum = 0;
      for (; peek() >= '0' && peek() <= '9'; ++pos_) {
        sum = std::min<uint64_t>(sum * 10 + static_cast<uint64_t>(peek() - '0'), kUnlimited);
      }
      *value = static_cast<uint32_t>(sum);
      return pos_ > first;
    };
    uint32_t min = 0, max = 0;
    bool valid = number(&min);
    max = min;
    if (valid && Take(",") && !number(&max)) max = kUnlimited;
    valid = valid && Take("}");
    if (!valid) {
      pos_ = begin;
      return false;
    }
    if (min > kMaxRepeat || (max != kUnlimited && max > kMaxRepeat)) {
      return Refuse("a repetition of more than " + std::to_string(kMaxRepeat));
    }
    if (min > max) return Fail("a repetition whose most is below its least");
    item->min = min, item->max = max;
    return true;
  }

  bool ParseHex(size_t digits, uint32_t* code) {
    *code = 0;
    for (size_t i = 0; i < digits; ++i, ++pos_) {
      const char c = peek();
      const int value = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (value < 0) return Fail("an escape without its " + std::to_string(digits) + " hex digits");
      *code = *code * 16 + static_cast<uint32_t>(value);
    }
    return true;
  }

  bool ParseUnicodeEscape(uint32_t* code) {
    if (!Take("{")) return ParseHex(4, code) && CheckCode(*code);
    const size_t end = text_.find('}', pos_);
    if (end == std::string_view::npos || end == pos_ || end - pos_ > 6) {
      return Fail("\\u{} without one to six hex digits");
    }
    if (!ParseHex(end - pos_, code)) return false;
    ++pos_;
    return CheckCode(*code);
  }
  bool CheckCode(uint32_t code) {
    if (code > kMaxCode) return Fail("a code point beyond U+10FFFF");
    if (code >= 0xD800 && code <= 0xDFFF) {
      return Refuse("a surrogate; write the code point itself or \\u{...}");
    }
    return true;
  }

  // After the backslash. in_negated: the set will be turned into what is outside of it.
  bool ParseEscape(bool in_negated, CodeSet* set) {
    if (at_end()) return Fail("a backslash at the end");
    const char c = text_[pos_++];
    if (const ClassEscape* escape = FindClass(c, builder_->meter())) {
      const bool outside = c != escape->letter;
      const CodeSet& base = outside != in_negated ? escape->wide : escape->narrow;
      *set = outside ? base.Complement() : base;
      return true;
    }
    uint32_t code = static_cast<uint8_t>(c);
    switch (c) {
      case 't':
        code = '\t';
        break;
      case 'n':
        code = '\n';
        break;
      case 'r':
        code = '\r';
        break;
      case 'f':
        code = '\f';
        break;
      case 'v':
        code = '\v';
        break;
      case '0':
        code = 0;
        break;
      case 'x':
        if (!ParseHex(2, &code)) return false;
        break;
      case 'u':
        if (!ParseUnicodeEscape(&code)) return false;
        break;
      default:
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9')) {
          --pos_;
          return Refuse(std::string("\\") + c);
        }
        --pos_;
        code = NextCodePoint(text_, &pos_);
    }
    set->Add(code, code);
    return true;
  }

  // One member of a set: *single where it is one code point, which may begin a range.
  bool ParseSetMember(bool in_negated, CodeSet* member, bool* single) {
    if (Take("\\")) {
      if (Take("b")) {
        member->Add('\b', '\b');
      } else if (Take("-")) {
        member->Add('-', '-');
      } else if (!ParseEscape(in_negated, member)) {
        return false;
      }
    } else {
      const uint32_t code = NextCodePoint(text_, &pos_);
      member->Add(code, code);
    }
    *single =
        member->ranges().size() == 1 && member->ranges()[0].first == member->ranges()[0].second;
    return true;
  }

  // After the bracket.
  bool ParseSet(CodeSet* set) {
    const bool negated = Take("^");
    while (!Take("]")) {
      if (at_end()) return Fail("a '[' without its ']'");
      builder_->Spend(4 + set->ranges().size() / 4);
      CodeSet first, last;
      bool single = false, last_single = false;
      if (!ParseSetMember(negated, &first, &single)) return false;
      const bool range = peek() == '-' && pos_ + 1 < text_.size() && text_[pos_ + 1] != ']';
      if (!range) {
        set->Add(first);
        continue;
      }
      ++pos_;
      if (!ParseSetMember(negated, &last, &last_single)) return false;
      if (!single || !last_single) return Fail("a range between more than two characters");
      if (first.ranges()[0].first > last.ranges()[0].first) return Fail("a range that runs down");
      set->Add(first.ranges()[0].first, last.ranges()[0].first);
    }
    if (negated) *set = set->Complement();
    return true;
  }

  std::string_view text_;
  AutomatonBuilder* builder_;
  size_t pos_ = 0;
  std::string problem_;
  size_t problem_at_ = 0;
  bool unsupported_ = false;
};

class Emitter {
 public:
  Emitter(AutomatonBuilder* builder, const RegexOptions& options)
      : builder_(builder), options_(options) {}

  Result<int32_t> EmitAll(const std::vector<Sequence>& alternatives, int32_t next) {
    std::vector<int32_t> starts;
    for (const Sequence& sequence : alternatives) {
      LULL_ASSIGN_OR_RETURN(const int32_t start, EmitAnchored(sequence, next));
      starts.push_back(start);
    }
    LULL_RETURN_IF_ERROR(builder_->status());
    return builder_->AnyOf(starts);
  }

 private:
  // Anchors may stand at the ends of an alternative; where one is missing, a search takes any text.
  Result<int32_t> EmitAnchored(const Sequence& sequence, int32_t next) {
    size_t begin = 0, end = sequence.size();
    while (begin < end && sequence[begin].kind == Item::Kind::kBegin) ++begin;
    const bool from_begin = begin > 0;
    while (end > begin && sequence[end - 1].kind == Item::Kind::kEnd) --end;
    const bool to_end = end < sequence.size();
    if (options_.search && !to_end) next = AnyText(next);
    LULL_ASSIGN_OR_RETURN(const int32_t start, EmitSequence(sequence, begin, end, next));
    return options_.search && !from_begin ? AnyText(start) : start;
  }

  int32_t AnyText(int32_t next) {
    const int32_t loop = builder_->OpenSplit();
    builder_->SetSplit(loop, EmitSet(AllCodes(), loop), next);
    return loop;
  }

  Result<int32_t> EmitSequence(const Sequence& sequence, size_t begin, size_t end, int32_t next) {
    for (size_t i = end; i > begin; --i) {
      LULL_ASSIGN_OR_RETURN(next, EmitRepeated(sequence[i - 1], next));
    }
    return next;
  }

  Result<int32_t> EmitRepeated(const Item& item, int32_t next) {
    if (item.max == kUnlimited) {
      const int32_t loop = builder_->OpenSplit();
      LULL_ASSIGN_OR_RETURN(const int32_t body, EmitOnce(item, loop));
      builder_->SetSplit(loop, body, next);
      next = loop;
    } else {
      const int32_t end = next;
      for (uint32_t i = item.min; i < item.max; ++i) {
        LULL_ASSIGN_OR_RETURN(const int32_t body, EmitOnce(item, next));
        next = builder_->Split(body, end);
        LULL_RETURN_IF_ERROR(builder_->status());
      }
    }
    for (uint32_t i = 0; i < item.min; ++i) {
      LULL_ASSIGN_OR_RETURN(next, EmitOnce(item, next));
      LULL_RETURN_IF_ERROR(builder_->status());
    }
    return next;
  }

  Result<int32_t> EmitOnce(const Item& item, int32_t next) {
    LULL_RETURN_IF_ERROR(builder_->status());
    builder_->Spend(1);
    if (++steps_ > kMaxSteps) {
      return Status(ErrorCode::kUnsupported, "the regular expression repeats too much");
    }
    if (item.kind == Item::Kind::kSet) return EmitSet(item.set, next);
    if (item.kind != Item::Kind::kGroup) {
      return Status(ErrorCode::kUnsupported, "an anchor in the middle of the expression");
    }
    std::vector<int32_t> starts;
    for (const Sequence& sequence : item.alternatives) {
      LULL_ASSIGN_OR_RETURN(const int32_t start, EmitSequence(sequence, 0, sequence.size(), next));
      starts.push_back(start);
    }
    return builder_->AnyOf(starts);
  }

  int32_t EmitSet(const CodeSet& set, int32_t next) {
    return options_.json_string ? JsonStringCodes(builder_, set, next) : builder_->Codes(set, next);
  }

  // (a{0})* and the like cost steps without ever adding a node.
  static constexpr int64_t kMaxSteps = 2'000'000;
  AutomatonBuilder* builder_;
  const RegexOptions options_;
  int64_t steps_ = 0;
};

Status Located(const Status& status, std::string_view where) {
  const Error& error = status.error();
  return {error.code, error.message, error.where.empty() ? std::string(where) : error.where,
          error.hint};
}

}  // namespace

int32_t JsonStringCodes(AutomatonBuilder* builder, const CodeSet& set, int32_t next) {
  static constexpr std::pair<char, char> kShort[] = {
      {'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
  const CodeSet written = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  std::vector<int32_t> starts;
  const CodeSet plain = set.Minus(written);
  if (!plain.empty()) starts.push_back(builder->Codes(plain, next));
  CodeSet spelled = {{0, 0x1F}};  // as \u00XX
  std::vector<int32_t> after_backslash;
  for (const auto& [code, letter] : kShort) {
    const uint32_t value = static_cast<uint8_t>(code);
    spelled = spelled.Minus({{value, value}});
    if (!set.Has(value)) continue;
    const uint8_t byte = static_cast<uint8_t>(letter);
    after_backslash.push_back(builder->Byte(byte, byte, next));
  }
  for (uint32_t code = 0; code < 0x20; ++code) {
    if (!spelled.Has(code) || !set.Has(code)) continue;
    const std::string text = {'u', '0', '0', static_cast<char>('0' + code / 16),
                              "0123456789abcdef"[code % 16]};
    after_backslash.push_back(builder->Literal(text, next));
  }
  if (!after_backslash.empty()) {
    starts.push_back(builder->Byte('\\', '\\', builder->AnyOf(after_backslash)));
  }
  return builder->AnyOf(starts);
}

Result<int32_t> BuildRegex(AutomatonBuilder* builder, std::string_view regex,
                           const RegexOptions& options, int32_t next, std::string_view where) {
  if (regex.size() > kMaxRegexBytes) {
    return Status(ErrorCode::kInvalidInput,
                  "a regular expression of " + std::to_string(regex.size()) + " bytes",
                  std::string(where), "at most 65536 are read");
  }
  if (!IsValidUtf8(regex)) {
    return Status(ErrorCode::kInvalidInput, "a regular expression that is not UTF-8",
                  std::string(where));
  }
  Parser parser(regex, builder);
  std::vector<Sequence> alternatives;
  if (!parser.Parse(&alternatives)) {
    const bool unsupported = parser.unsupported();
    return Status(unsupported ? ErrorCode::kUnsupported : ErrorCode::kInvalidInput,
                  "regular expression, byte " + std::to_string(parser.position()) + ": " +
                      parser.problem() + (unsupported ? " (not supported)" : ""),
                  std::string(where), "see docs/design/grammar.md for the syntax");
  }
  Emitter emitter(builder, options);
  const Result<int32_t> start = emitter.EmitAll(alternatives, next);
  if (!start.ok()) return Located(start.status(), where);
  if (!builder->ok()) return Located(builder->status(), where);
  return *start;
}

}  // namespace lull::grammar
