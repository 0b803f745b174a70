// The token list of a model file with its attributes, special tokens and end-of-generation set.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "lull/status.h"
#include "tokenizer/string_table.h"
#include "base/work_meter.h"

namespace lull {

// Token type of the file as a bit, plus what names and texts add to it.
enum TokenAttr : uint16_t {
  kAttrUnknown = 0x01,
  kAttrUnused = 0x02,
  kAttrNormal = 0x04,
  kAttrControl = 0x08,
  kAttrUserDefined = 0x10,
  kAttrByte = 0x20,
  kAttrUndefined = 0x40,
  kAttrStripLeft = 0x80,    // takes the white space before it along
  kAttrStripRight = 0x100,  // and after it
};

constexpr int32_t kNoToken = -1;

// No real token comes near; hashing or writing one stays a short step.
constexpr size_t kMaxTokenBytes = 65536;

struct Vocabulary {
  StringTable texts;             // [num_tokens]; an empty text is replaced by "[EMPTY_<id>]"
  std::vector<uint16_t> attrs;   // TokenAttr bits, [num_tokens]
  std::vector<float> scores;     // [num_tokens] where the family needs them, else empty
  std::vector<int32_t> special;  // matched before all else: longest first
  std::vector<int32_t> end_of_generation;  // ascending
  int32_t bos = kNoToken;
  int32_t eos = kNoToken;
  int32_t unknown = kNoToken;
  int32_t end = kNoToken;  // what a whole text ends with: EOS or a separator, where the file asks
  bool add_bos = false;
  bool add_space_prefix = false;

  int32_t num_tokens() const { return static_cast<int32_t>(attrs.size()); }
  int32_t Find(std::string_view text) const { return texts.Find(text); }
  // The byte that a "<0x41>" token stands for, -1 where text is none.
  static int ByteOf(std::string_view text);
  // The token of a byte: "<0x41>".
  int32_t ByteToken(uint8_t byte) const;
};

// What a family assumes where the file is silent.
struct VocabularyDefaults {
  int32_t bos = kNoToken, eos = kNoToken, unknown = kNoToken, separator = kNoToken;
  bool add_bos = false;
  bool add_eos = false;
  bool ends_with_separator = false;
  bool always_bos = false;
  bool add_space_prefix = false;
  bool needs_scores = false;
};

// more_texts, more_bytes: what the family will add to the texts at most.
Result<Vocabulary> ReadVocabulary(const GgufFile& file, const VocabularyDefaults& defaults,
                                  WorkMeter* meter, size_t more_texts = 0, size_t more_bytes = 0);

}  // namespace lull
