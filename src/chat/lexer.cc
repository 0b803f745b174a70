#include "chat/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "chat/text.h"

namespace lull::jinja {
namespace {

constexpr size_t kMaxNameBytes = 256;

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameChar(char c) { return IsNameStart(c) || IsAsciiDigit(c); }
int HexDigit(char c) {
  if (IsAsciiDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// CRLF and CR become LF; one newline at the end goes.
std::string NormalizeNewlines(WorkMeter* work, const std::string& source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if ((i & 0xFF) == 0) work->Spend(0x40);
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(const std::string& source, int max_depth, WorkMeter* work)
      : work_(work),
        text_(NormalizeNewlines(work, source)),
        max_depth_(static_cast<size_t>(max_depth)) {}

  Result<std::deque<Token>> Run() {
    while (status_.ok() && at_ < text_.size()) LexRoot();
    Push(Tok::kEnd, at_);
    if (!status_.ok()) return status_;
    return std::move(tokens_);
  }

 private:
  Pos PosAt(size_t offset) {
    // Offsets only grow, so the walk is linear over the whole source.
    if (offset < pos_offset_) {
      pos_offset_ = 0;
      pos_ = Pos();
    }
    for (; pos_offset_ < offset && pos_offset_ < text_.size(); ++pos_offset_) {
      if ((pos_offset_ & 0xFF) == 0) work_->Spend(0x40);
      const unsigned char c = static_cast<unsigned char>(text_[pos_offset_]);
      if (c == '\n') {
        ++pos_.line;
        pos_.column = 1;
      } else if ((c & 0xC0) != 0x80) {
        ++pos_.column;
      }
    }
    return pos_;
  }

  Token& Push(Tok type, size_t offset, std::string text = {}) {
    work_->Spend(16 + text.size() / 64);
    tokens_.push_back(Token{type, PosAt(offset), std::move(text), 0, 0});
    return tokens_.back();
  }

  void Fail(size_t offset, const std::string& message) {
    if (!status_.ok()) return;
    const Pos pos = PosAt(offset);
    status_ = Status(ErrorCode::kInvalidInput, message,
                     "line " + std::to_string(pos.line) + ", column " + std::to_string(pos.column));
  }

  bool At(size_t offset, std::string_view what) const {
    return std::string_view(text_).substr(offset, what.size()) == what;
  }

  size_t SkipSpace(size_t offset) const {
    while (offset < text_.size()) {
      size_t next = offset;
      if (!IsSpace(NextCodePoint(work_, text_, &next))) break;
      offset = next;
    }
    return offset;
  }

  // "{%[-+]? raw [-]?%}" at offset: where it ends, or 0.
  size_t MatchRawBegin(size_t offset) const {
    size_t i = offset + 2;
    if (i < text_.size() && (text_[i] == '-' || text_[i] == '+')) ++i;
    i = SkipSpace(i);
    if (!At(i, "raw")) return 0;
    i = SkipSpace(i + 3);
    if (At(i, "-%}")) return SkipSpace(i + 3);
    return At(i, "%}") ? i + 2 : 0;
  }

  // Emits text before a tag at `tag`, stripped as its sign and lstrip_blocks ask.
  void PushData(size_t begin, size_t tag, char sign, bool lstrip) {
    std::string_view data = std::string_view(text_).substr(begin, tag - begin);
    if (sign == '-') {
      data = StripSpace(work_, data, false, true);
    } else if (sign != '+' && lstrip) {
      const size_t newline = data.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool at_line_start = line > 0 || line_starting_;
      if (at_line_start && StripSpace(work_, data.substr(line), true, false).empty()) {
        data = data.substr(0, line);
      }
    }
    if (!data.empty()) Push(Tok::kData, begin, CopyPaced(work_, data));
  }

  void LexRoot() {
    const size_t begin = at_;
    size_t tag = begin;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= text_.size()) {
        tag = text_.size();
        break;
      }
      const char c = text_[tag + 1];
      if (c == '{' || c == '%' || c == '#') break;
      ++tag;
    }
    if (tag == text_.size()) {
      Push(Tok::kData, begin, CopyPaced(work_, std::string_view(text_).substr(begin)));
      at_ = tag;
      return;
    }
    const char kind = text_[tag + 1];
    const char sign = tag + 2 < text_.size() && (text_[tag + 2] == '-' || text_[tag + 2] == '+')
                          ? text_[tag + 2]
                          : '\0';
    const size_t raw_end = kind == '%' ? MatchRawBegin(tag) : 0;
    PushData(begin, tag, sign, kind != '{');
    at_ = tag + 2 + (sign != '\0');
    if (raw_end != 0) {
      at_ = raw_end;
      SetLineStarting();
      LexRaw(tag);
    } else if (kind == '#') {
      line_starting_ = false;
      LexComment(tag);
    } else {
      line_starting_ = false;
      Push(kind == '%' ? Tok::kBlockBegin : Tok::kVariableBegin, tag);
      LexTag(tag, kind == '%');
    }
  }

  void SetLineStarting() { line_starting_ = at_ > 0 && text_[at_ - 1] == '\n'; }

  // Past the end of a block or comment: its sign and trim_blocks decide what follows.
  void EndBlock(size_t close, char sign) {
    at_ = close + 2;
    if (sign == '-') {
      at_ = SkipSpace(at_);
    } else if (sign != '+' && at_ < text_.size() && text_[at_] == '\n') {
      ++at_;
    }
    SetLineStarting();
  }

  void LexComment(size_t tag) {
    const size_t close = text_.find("#}", at_);
    if (close == std::string::npos) return Fail(tag, "a comment that is never closed with '#}'");
    const char before = close > at_ ? text_[close - 1] : '\0';
    EndBlock(close, before == '-' || before == '+' ? before : '\0');
  }

  void LexRaw(size_t tag) {
    const size_t begin = at_;
    for (size_t i = text_.find("{%", begin); i != std::string::npos; i = text_.find("{%", i + 1)) {
      size_t j = i + 2;
      char sign = '\0';
      if (j < text_.size() && (text_[j] == '-' || text_[j] == '+')) sign = text_[j++];
      j = SkipSpace(j);
      if (!At(j, "endraw")) continue;
      j = SkipSpace(j + 6);
      char end_sign = '\0';
      if (j < text_.size() && (text_[j] == '-' || text_[j] == '+')) end_sign = text_[j++];
      if (!At(j, "%}")) continue;
      PushData(begin, i, sign, true);
      return EndBlock(j, end_sign);
    }
    Fail(tag, "a raw block that is never closed with 'endraw'");
  }

  // The inside of {{ }} or {% %}.
  void LexTag(size_t tag, bool block) {
    brackets_.clear();
    const char* close = block ? "%}" : "}}";
    while (status_.ok()) {
      at_ = SkipSpace(at_);
      if (at_ >= text_.size()) {
        return Fail(tag, std::string("a tag that is never closed with '") + close + "'");
      }
      const char c = text_[at_];
      if (brackets_.empty()) {
        const bool signed_end = (c == '-' || (c == '+' && block)) && At(at_ + 1, close);
        if (signed_end || At(at_, close)) {
          Push(block ? Tok::kBlockEnd : Tok::kVariableEnd, at_);
          const size_t end = at_ + signed_end;
          if (block) return EndBlock(end, signed_end ? c : '\0');
          at_ = end + 2;
          if (signed_end) at_ = SkipSpace(at_);
          return SetLineStarting();
        }
      }
      LexToken(c);
    }
  }

  void LexToken(char c) {
    if (IsAsciiDigit(c)) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    if (IsNameStart(c)) {
      const size_t begin = at_;
      while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
      if (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80) {
        return Fail(at_, "a name with letters other than ASCII");
      }
      if (at_ - begin > kMaxNameBytes) {
        return Fail(begin, "a name of more than " + std::to_string(kMaxNameBytes) + " letters");
      }
      Push(Tok::kName, begin, text_.substr(begin, at_ - begin));
      return;
    }
    LexOperator(c);
  }

  void LexOperator(char c) {
    static constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
    for (std::string_view op : kLong) {
      if (!At(at_, op)) continue;
      Push(Tok::kOperator, at_, std::string(op));
      at_ += 2;
      return;
    }
    if (std::strchr("+-/*%~[](){}><=.:|,;", c) == nullptr || c == '\0') {
      return Fail(at_, std::string("unexpected character '") + PrintableAt(at_) + "' in a tag");
    }
    if (c == '(' || c == '[' || c == '{') brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (brackets_.size() > max_depth_) {
      return Fail(at_, "brackets nested more than " + std::to_string(max_depth_) + " deep");
    }
    if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty() || brackets_.back() != c) {
        return Fail(at_, std::string("unexpected '") + c + "'");
      }
      brackets_.pop_back();
    }
    Push(Tok::kOperator, at_, std::string(1, c));
    ++at_;
  }

  std::string PrintableAt(size_t offset) const {
    size_t end = offset;
    const char32_t c = NextCodePoint(text_, &end);
    return c < 0x20 ? "\\x" + std::to_string(c) : text_.substr(offset, end - offset);
  }

  // Digits with single underscores between them, from i; 0 consumed where there is none.
  size_t Digits(size_t i) const {
    size_t end = i;
    while (end < text_.size() &&
           (IsAsciiDigit(text_[end]) || (text_[end] == '_' && end > i && end + 1 < text_.size() &&
                                         IsAsciiDigit(text_[end + 1])))) {
      ++end;
    }
    return end;
  }

  void LexNumber() {
    const size_t begin = at_;
    const bool after_dot = !tokens_.empty() && tokens_.back().type == Tok::kOperator &&
                           tokens_.back().text == "." && begin > 0 && text_[begin - 1] == '.';
    size_t end = Digits(begin);
    bool is_float = false;
    if (!after_dot) {
      size_t i = end;
      if (i + 1 < text_.size() && text_[i] == '.' && IsAsciiDigit(text_[i + 1])) {
        i = Digits(i + 1);
        end = i;
        is_float = true;
      }
      if (i < text_.size() && (text_[i] == 'e' || text_[i] == 'E')) {
        size_t j = i + 1;
        if (j < text_.size() && (text_[j] == '+' || text_[j] == '-')) ++j;
        if (j < text_.size() && IsAsciiDigit(text_[j])) {
          end = Digits(j);
          is_float = true;
        }
      }
    }
    std::string digits = text_.substr(begin, end - begin);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    at_ = end;
    if (is_float) {
      double number = 0;
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (parsed.ec != std::errc()) return Fail(begin, "the number " + digits + " is out of range");
      Push(Tok::kFloat, begin, digits).number = number;
      return;
    }
    LexInteger(begin, digits);
  }

  void LexInteger(size_t begin, std::string digits) {
    int base = 10;
    const char x = begin + 1 < text_.size() ? static_cast<char>(text_[begin + 1] | 0x20) : '\0';
    if (digits == "0" && (x == 'x' || x == 'o' || x == 'b')) {
      base = x == 'x' ? 16 : x == 'o' ? 8 : 2;
      digits.clear();
      size_t i = begin + 2;
      for (; i < text_.size(); ++i) {
        const int d = HexDigit(text_[i]);
        if (text_[i] == '_') continue;
        if (d < 0 || d >= base) break;
        digits += text_[i];
      }
      if (digits.empty() || text_[i - 1] == '_') return Fail(begin, "a malformed number");
      at_ = i;
    } else if (digits.size() > 1 && digits[0] == '0' &&
               digits.find_first_not_of('0') != std::string::npos) {
      return Fail(begin, "a number with leading zeros");
    }
    int64_t number = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
    if (parsed.ec != std::errc()) {
      return Fail(begin, "the integer " + digits.substr(0, 40) + " does not fit 64 bits");
    }
    Push(Tok::kInteger, begin, digits).integer = number;
  }

  void LexString(char quote) {
    const size_t begin = at_++;
    std::string out;
    out.reserve(std::min(text_.find(quote, at_), text_.size()) - at_);
    while (true) {
      if (at_ >= text_.size()) return Fail(begin, "a string that is never closed");
      const char c = text_[at_++];
      if (c == quote) break;
      if ((at_ & 0xFF) == 0) work_->Spend(0x40);
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= text_.size()) return Fail(begin, "a string that is never closed");
      if (!Unescape(begin, &out)) return;
    }
    Push(Tok::kString, begin, std::move(out));
  }

  bool Unescape(size_t begin, std::string* out) {
    const char c = text_[at_++];
    static constexpr std::string_view kFrom = "\\'\"abfnrtv";
    static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    const size_t simple = kFrom.find(c);
    if (simple != std::string_view::npos) {
      *out += kTo[simple];
      return true;
    }
    if (c == '\n') return true;
    if (c >= '0' && c <= '7') {
      char32_t value = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(text_[at_++] - '0');
      }
      AppendUtf8(value, out);
      return true;
    }
    const int width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (width != 0) return UnescapeHex(begin, width, out);
    if (c == 'N') {
      Fail(begin, "a string with a named character, \\N{...}, which is not supported");
      return false;
    }
    *out += '\\';
    --at_;  // anything else stands for itself, backslash and all
    *out += text_[at_++];
    return true;
  }

  bool UnescapeHex(size_t begin, int width, std::string* out) {
    char32_t value = 0;
    for (int i = 0; i < width; ++i) {
      const int d = at_ < text_.size() ? HexDigit(text_[at_]) : -1;
      if (d < 0) {
        Fail(begin, "a string with a truncated \\x, \\u or \\U escape");
        return false;
      }
      value = value * 16 + static_cast<char32_t>(d);
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      Fail(begin, "a string with an escape that is not a character");
      return false;
    }
    AppendUtf8(value, out);
    return true;
  }

  WorkMeter* const work_;
  const std::string text_;
  const size_t max_depth_;
  size_t at_ = 0;
  bool line_starting_ = true;
  std::string brackets_;
  std::deque<Token> tokens_;
  Status status_;
  size_t pos_offset_ = 0;
  Pos pos_;
};

}  // namespace

Result<std::deque<Token>> Tokenize(const std::string& source, int max_depth, WorkMeter* work) {
  return Lexer(source, max_depth, work).Run();
}

}  // namespace lull::jinja
