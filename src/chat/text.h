// Text as Python sees it: code points, whitespace, case, repr, floats, JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "chat/value.h"

namespace lull::jinja {

// What walks a text takes a meter of the work: texts may be megabytes long.
bool ValidUtf8(WorkMeter* work, std::string_view text);
int64_t CodePoints(WorkMeter* work, std::string_view text);
// Decodes the code point at *offset (valid UTF-8) and moves past it.
char32_t NextCodePoint(std::string_view text, size_t* offset);
inline char32_t NextCodePoint(WorkMeter* work, std::string_view text, size_t* offset) {
  constexpr size_t kPieceBits = 10;
  const size_t piece = *offset >> kPieceBits;
  const char32_t c = NextCodePoint(text, offset);
  if (*offset >> kPieceBits != piece) work->Spend(512);
  return c;
}
void AppendUtf8(char32_t c, std::string* out);
// Byte offset of code point `index` (at most the length).
size_t OffsetOf(WorkMeter* work, const StringObject& s, int64_t index);
size_t OffsetOf(WorkMeter* work, std::string_view text, int64_t index);

bool IsSpace(char32_t c);
bool IsPrintable(char32_t c);
bool IsAlpha(char32_t c);
bool IsDigit(char32_t c);
bool IsDecimal(char32_t c);
bool IsNumeric(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsTitle(char32_t c);
std::string Upper(WorkMeter* work, std::string_view text);
std::string Lower(WorkMeter* work, std::string_view text);
std::string Title(WorkMeter* work, std::string_view text);
std::string Capitalize(WorkMeter* work, std::string_view text);
void AppendUpper(char32_t c, std::string* out);
void AppendTitle(char32_t c, std::string* out);

std::string_view StripSpace(WorkMeter* work, std::string_view text, bool left, bool right);
std::string_view StripChars(WorkMeter* work, std::string_view text, std::string_view chars,
                            bool left, bool right);
std::string EscapeHtml(WorkMeter* work, std::string_view text);

std::string FloatRepr(double d);

// str() and repr(); on failure (too long, not printable) the run has failed.
std::string Str(Run& run, const Value& value);
std::string Repr(Run& run, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool pretty = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
std::string ToJson(Run& run, const Value& value, const JsonStyle& style);

}  // namespace lull::jinja
