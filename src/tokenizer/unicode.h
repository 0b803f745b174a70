// UTF-8 and character classes as the tokenizers of GGUF files expect them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lull {

constexpr uint32_t kReplacementChar = 0xFFFD;

// General category (major class) plus White_Space, one bit each.
enum CharClass : uint8_t {
  kUnassigned = 0x01,
  kNumber = 0x02,
  kLetter = 0x04,
  kWhitespace = 0x08,  // White_Space; every separator (Z) is one
  kMark = 0x10,
  kPunctuation = 0x20,
  kSymbol = 0x40,
  kControl = 0x80,
};

// CharClass bits of a code point (Unicode 15.1). Cost: two loads.
uint8_t ClassOf(uint32_t code);

// Code point at text[*pos], advancing *pos past it. Structural check only: overlong forms and
// surrogates are taken as they come; any other malformed byte is one kReplacementChar.
// Requires: *pos < text.size().
uint32_t NextCodePoint(std::string_view text, size_t* pos);

// Length of a UTF-8 sequence by its first byte alone, 1 for continuation bytes.
inline size_t LengthByLeadByte(char lead) {
  const uint8_t byte = static_cast<uint8_t>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Requires: code < 0x110000. Writes 1 to 4 bytes to out and returns their number.
size_t EncodeUtf8(uint32_t code, char* out);
void AppendUtf8(uint32_t code, std::string* out);

}  // namespace lull
