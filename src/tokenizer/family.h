// A tokenizer family: what tokenizer.ggml.model names. The list is in family_list.inc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "lull/status.h"
#include "tokenizer/vocabulary.h"
#include "base/work_meter.h"

namespace lull {

// Text between special tokens to tokens, and a token to bytes. Immutable after Create.
class Family {
 public:
  virtual ~Family() = default;
  // after_special: the text starts the input or follows a special token.
  virtual void Encode(std::string_view text, bool after_special, WorkMeter* meter,
                      std::vector<int32_t>* tokens) const = 0;
  // The bytes of a token of type normal.
  virtual std::string NormalBytes(int32_t token) const = 0;
  virtual Vocabulary& vocabulary() = 0;
};

// Each of family_list.inc has one of these.
using FamilyCreator = Result<std::unique_ptr<Family>> (*)(const GgufFile& file, WorkMeter* meter);

Result<std::unique_ptr<Family>> CreateBytePair(const GgufFile& file, WorkMeter* meter);
Result<std::unique_ptr<Family>> CreateSentencePiece(const GgufFile& file, WorkMeter* meter);
Result<std::unique_ptr<Family>> CreateUnigram(const GgufFile& file, WorkMeter* meter);
Result<std::unique_ptr<Family>> CreateWordPiece(const GgufFile& file, WorkMeter* meter);

// What family_list.inc has.
std::vector<std::string_view> FamilyNames();

// Which neighbouring bytes some token has side by side. A text can be cut wherever it has a pair
// that no token has: no merge ever crosses there. Keeps words short in families that have no
// word rule of their own.
class BytePairs {
 public:
  void Add(char left, char right) { bits_[Index(left, right)] = true; }
  void AddAll(std::string_view text) {
    for (size_t i = 1; i < text.size(); ++i) Add(text[i - 1], text[i]);
  }
  bool Has(char left, char right) const { return bits_[Index(left, right)]; }

 private:
  static size_t Index(char left, char right) {
    return size_t{static_cast<uint8_t>(left)} << 8 | static_cast<uint8_t>(right);
  }
  std::vector<bool> bits_ = std::vector<bool>(65536);
};

// White space as the vocabularies of SentencePiece write it, U+2581.
inline constexpr std::string_view kVisibleSpace = "\xE2\x96\x81";
void AppendVisibleSpaces(std::string_view text, WorkMeter* meter, std::string* out);
std::string WithPlainSpaces(std::string_view text);

}  // namespace lull
