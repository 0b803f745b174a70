#include "tokenizer/text_stream.h"

#include <cstddef>
#include <cstdint>

#include "tokenizer/unicode.h"

namespace lull {
namespace {

// Well-formed second bytes by lead byte; excludes overlong forms, surrogates, beyond U+10FFFF.
bool IsSecondByte(uint8_t lead, uint8_t second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}

struct Character {
  size_t bytes;   // how many belong together
  bool complete;  // false: the text ended inside
  bool well_formed;
};

Character FirstCharacter(std::string_view text) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {1, true, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, true, false};
  const size_t length = LengthByLeadByte(text[0]);
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, false};
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    const bool fits = i == 1 ? IsSecondByte(lead, byte) : (byte & 0xC0) == 0x80;
    if (!fits) return {i, true, false};
  }
  return {length, true, true};
}

}  // namespace

std::string Utf8Assembler::Push(std::string_view bytes) {
  pending_.append(bytes);
  std::string text;
  size_t pos = 0;
  while (pos < pending_.size()) {
    const Character character = FirstCharacter(std::string_view(pending_).substr(pos));
    if (!character.complete) break;
    if (character.well_formed) {
      text.append(pending_, pos, character.bytes);
    } else {
      AppendUtf8(kReplacementChar, &text);
    }
    pos += character.bytes;
  }
  pending_.erase(0, pos);
  return text;
}

std::string Utf8Assembler::Finish() {
  std::string text;
  if (!pending_.empty()) AppendUtf8(kReplacementChar, &text);
  pending_.clear();
  return text;
}

}  // namespace lull
