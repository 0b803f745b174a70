#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

namespace lull {
namespace {

constexpr uint32_t kNumCodes = 0x110000;
constexpr uint32_t kBlockBits = 7;
constexpr uint32_t kBlockSize = 1u << kBlockBits;

struct ClassRange {
  uint32_t first;
  uint8_t char_class;
};

constexpr ClassRange kRanges[] = {
#include "tokenizer/unicode_classes.inc"
};

// Two stages: block number of each 128 codes, then the class; equal neighbour blocks are shared.
class ClassTable {
 public:
  ClassTable() {
    std::array<uint8_t, kBlockSize> block{};
    size_t range = 0;
    for (uint32_t first = 0; first < kNumCodes; first += kBlockSize) {
      for (uint32_t i = 0; i < kBlockSize; ++i) {
        while (range + 1 < std::size(kRanges) && kRanges[range + 1].first <= first + i) ++range;
        block[i] = kRanges[range].char_class;
      }
      if (classes_.empty() ||
          !std::equal(block.begin(), block.end(), classes_.end() - kBlockSize)) {
        classes_.insert(classes_.end(), block.begin(), block.end());
      }
      block_of_[first >> kBlockBits] = static_cast<uint16_t>(classes_.size() / kBlockSize - 1);
    }
  }
  uint8_t Get(uint32_t code) const {
    return classes_[size_t{block_of_[code >> kBlockBits]} * kBlockSize + (code & (kBlockSize - 1))];
  }

 private:
  std::array<uint16_t, kNumCodes / kBlockSize> block_of_{};
  std::vector<uint8_t> classes_;
};

bool IsContinuation(std::string_view text, size_t pos) {
  return pos < text.size() && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80;
}

}  // namespace

uint8_t ClassOf(uint32_t code) {
  static const ClassTable table;
  return code < kNumCodes ? table.Get(code) : static_cast<uint8_t>(kUnassigned);
}

uint32_t NextCodePoint(std::string_view text, size_t* pos) {
  const size_t start = *pos;
  const uint8_t lead = static_cast<uint8_t>(text[start]);
  *pos = start + 1;
  if (lead < 0x80) return lead;
  if (lead < 0xC0 || lead >= 0xF8) return kReplacementChar;
  const size_t length = LengthByLeadByte(text[start]);
  uint32_t code = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text, start + i)) return kReplacementChar;
    code = code << 6 | (static_cast<uint8_t>(text[start + i]) & 0x3F);
  }
  if (code >= kNumCodes) return kReplacementChar;
  *pos = start + length;
  return code;
}

size_t EncodeUtf8(uint32_t code, char* out) {
  if (code < 0x80) {
    out[0] = static_cast<char>(code);
    return 1;
  }
  const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  const uint32_t lead_mark = length == 2 ? 0xC0 : length == 3 ? 0xE0 : 0xF0;
  for (size_t i = length - 1; i > 0; --i) {
    out[i] = static_cast<char>(0x80 | (code & 0x3F));
    code >>= 6;
  }
  out[0] = static_cast<char>(lead_mark | code);
  return length;
}

void AppendUtf8(uint32_t code, std::string* out) {
  char buffer[4];
  out->append(buffer, EncodeUtf8(code, buffer));
}

}  // namespace lull
