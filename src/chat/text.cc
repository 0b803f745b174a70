#include "chat/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

namespace lull::jinja {
namespace {

struct Range {
  char32_t first, last;
};
struct CaseRun {
  char32_t first, last, stride;
  int32_t delta;
};
struct CaseSpecial {
  char32_t from, first, second, third;  // 0: none
};

#include "chat/unicode_tables.inc"

template <size_t N>
bool InRanges(const Range (&ranges)[N], char32_t c) {
  const Range* it = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                     [](char32_t x, const Range& r) { return x < r.first; });
  return it != std::begin(ranges) && c <= (it - 1)->last;
}

template <size_t N, size_t M>
void AppendMapped(const CaseRun (&runs)[N], const CaseSpecial (&specials)[M], char32_t c,
                  std::string* out) {
  const CaseSpecial* special =
      std::lower_bound(std::begin(specials), std::end(specials), c,
                       [](const CaseSpecial& s, char32_t x) { return s.from < x; });
  if (special != std::end(specials) && special->from == c) {
    for (char32_t to : {special->first, special->second, special->third}) {
      if (to != 0) AppendUtf8(to, out);
    }
    return;
  }
  const CaseRun* it = std::upper_bound(std::begin(runs), std::end(runs), c,
                                       [](char32_t x, const CaseRun& r) { return x < r.first; });
  // Runs of stride 2 may interleave, so the one before may be the one.
  for (int i = 0; i < 2 && it != std::begin(runs); ++i) {
    --it;
    if (c <= it->last && (c - it->first) % it->stride == 0) {
      AppendUtf8(static_cast<char32_t>(static_cast<int32_t>(c) + it->delta), out);
      return;
    }
  }
  AppendUtf8(c, out);
}

void AppendLower(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else {
    AppendMapped(kLowerMap, kLowerSpecial, c, out);
  }
}

bool Cased(char32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

// A capital sigma that ends a word becomes the final form.
void AppendLowerInText(std::string_view text, size_t start, size_t next, char32_t c,
                       bool after_cased, std::string* out) {
  if (c == 0x3A3 && after_cased) {
    size_t i = next;
    const bool more = i < text.size() && Cased(NextCodePoint(text, &i));
    AppendUtf8(more ? 0x3C3 : 0x3C2, out);
    return;
  }
  (void)start;
  AppendLower(c, out);
}

}  // namespace

bool ValidUtf8(WorkMeter* work, std::string_view text) {
  size_t paid = 0;
  for (size_t i = 0; i < text.size();) {
    if (i - paid >= 1024) {
      work->Spend(128);
      paid = i;
    }
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const int more = c < 0x80                ? 0
                     : c >= 0xC2 && c < 0xE0 ? 1
                     : c >= 0xE0 && c < 0xF0 ? 2
                     : c >= 0xF0 && c < 0xF5 ? 3
                                             : -1;
    if (more < 0 || i + static_cast<size_t>(more) >= text.size()) return false;
    for (int k = 1; k <= more; ++k) {
      const unsigned char d = static_cast<unsigned char>(text[i + static_cast<size_t>(k)]);
      if ((d & 0xC0) != 0x80) return false;
      if (k != 1) continue;
      if ((c == 0xE0 && d < 0xA0) || (c == 0xED && d >= 0xA0) || (c == 0xF0 && d < 0x90) ||
          (c == 0xF4 && d >= 0x90)) {
        return false;
      }
    }
    i += 1 + static_cast<size_t>(more);
  }
  return true;
}

int64_t CodePoints(WorkMeter* work, std::string_view text) {
  constexpr size_t kPiece = 65536;
  int64_t n = 0;
  for (size_t begin = 0; begin < text.size(); begin += kPiece) {
    const std::string_view piece = text.substr(begin, kPiece);
    for (char c : piece) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    work->Spend(piece.size() / 32);
  }
  return n;
}

char32_t NextCodePoint(std::string_view text, size_t* offset) {
  const unsigned char c = static_cast<unsigned char>(text[(*offset)++]);
  if (c < 0x80) return c;
  const int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
  char32_t value = c & (0x3F >> more);
  for (int i = 0; i < more && *offset < text.size(); ++i) {
    value = (value << 6) | (static_cast<unsigned char>(text[(*offset)++]) & 0x3F);
  }
  return value;
}

void AppendUtf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c);
  } else if (c < 0x800) {
    *out += static_cast<char>(0xC0 | (c >> 6));
    *out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    *out += static_cast<char>(0xE0 | (c >> 12));
    *out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    *out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    *out += static_cast<char>(0xF0 | (c >> 18));
    *out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    *out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    *out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

size_t OffsetOf(WorkMeter* work, std::string_view text, int64_t index) {
  size_t i = 0;
  for (; index > 0 && i < text.size(); --index) NextCodePoint(work, text, &i);
  return i;
}

size_t OffsetOf(WorkMeter* work, const StringObject& s, int64_t index) {
  if (s.ascii()) return static_cast<size_t>(std::clamp<int64_t>(index, 0, s.length));
  return OffsetOf(work, std::string_view(s.text), index);
}

bool IsSpace(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool IsPrintable(char32_t c) { return !InRanges(kNotPrintable, c); }
bool IsAlpha(char32_t c) { return InRanges(kAlpha, c); }
bool IsDigit(char32_t c) { return InRanges(kDigit, c); }
bool IsDecimal(char32_t c) { return InRanges(kDecimal, c); }
bool IsNumeric(char32_t c) { return InRanges(kNumeric, c); }
bool IsUpper(char32_t c) { return InRanges(kUpper, c); }
bool IsLower(char32_t c) { return InRanges(kLower, c); }
bool IsTitle(char32_t c) { return InRanges(kTitle, c); }

void AppendUpper(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else {
    AppendMapped(kUpperMap, kUpperSpecial, c, out);
  }
}

void AppendTitle(char32_t c, std::string* out) {
  if (c < 0x80) {
    AppendUpper(c, out);
  } else {
    AppendMapped(kTitleMap, kTitleSpecial, c, out);
  }
}

std::string Upper(WorkMeter* work, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) AppendUpper(NextCodePoint(work, text, &i), &out);
  return out;
}

std::string Lower(WorkMeter* work, std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const char32_t c = NextCodePoint(work, text, &i);
    AppendLowerInText(text, start, i, c, after_cased, &out);
    after_cased = Cased(c);
  }
  return out;
}

std::string Title(WorkMeter* work, std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const char32_t c = NextCodePoint(work, text, &i);
    if (after_cased) {
      AppendLowerInText(text, start, i, c, true, &out);
    } else {
      AppendTitle(c, &out);
    }
    after_cased = Cased(c);
  }
  return out;
}

std::string Capitalize(WorkMeter* work, std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const char32_t c = NextCodePoint(work, text, &i);
    if (start == 0) {
      AppendTitle(c, &out);
    } else {
      AppendLowerInText(text, start, i, c, after_cased, &out);
    }
    after_cased = Cased(c);
  }
  return out;
}

std::string_view StripSpace(WorkMeter* work, std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    work->Spend(1);
    size_t next = 0;
    if (!IsSpace(NextCodePoint(text, &next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    work->Spend(1);
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    size_t next = last;
    if (!IsSpace(NextCodePoint(text, &next))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view StripChars(WorkMeter* work, std::string_view text, std::string_view chars,
                            bool left, bool right) {
  // A whole character of a UTF-8 text is found in another only at a character's start.
  while (left && !text.empty()) {
    work->Spend(2 + chars.size() / 64);
    size_t next = 0;
    NextCodePoint(text, &next);
    if (chars.find(text.substr(0, next)) == std::string_view::npos) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    work->Spend(2 + chars.size() / 64);
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (chars.find(text.substr(last)) == std::string_view::npos) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string EscapeHtml(WorkMeter* work, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((i & 0xFF) == 0) work->Spend(0x40);
    const char c = text[i];
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string FloatRepr(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), d, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const std::string_view digits_of_exponent = text.substr(e + (text[e + 1] == '+' ? 2 : 1));
  std::from_chars(digits_of_exponent.data(), digits_of_exponent.data() + digits_of_exponent.size(),
                  exponent);
  const bool negative = text[0] == '-';
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  std::string out(negative ? 1 : 0, '-');
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out.append(".").append(digits, 1);
    const int magnitude = std::abs(exponent);
    out += exponent < 0 ? "e-" : "e+";
    return out + (magnitude < 10 ? "0" : "") + std::to_string(magnitude);
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) {
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  const size_t point = static_cast<size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

}  // namespace lull::jinja
