// The normalization that a SentencePiece model carries (tokenizer.ggml.precompiled_charsmap): which
// byte sequences are written as which other ones.
//
// Layout: uint32 bytes of the tree, the tree, then replacements as NUL-terminated texts. The tree
// is a double array of uint32: label in bits 0-7, "a sequence ends here" in bit 8, offset of the
// children in bits 10-30, times 256 where bit 9 is set; a node's child for byte c is at
// node ^ offset ^ c, and that for byte 0 is the sequence's value in bits 0-30: where its
// replacement starts. S. Kanda, K. Morita, M. Fuketa: Compressed double-array tries for string
// dictionaries supporting fast lookup, Knowl. Inf. Syst. 51 (2017).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lull/status.h"

namespace lull {

class CharacterMap {
 public:
  // No replacement is longer: text grows by a bounded factor.
  static constexpr size_t kMaxReplacementBytes = 255;

  CharacterMap() = default;  // replaces nothing
  static Result<CharacterMap> Create(std::string_view bytes);

  // The longest sequence that text starts with and that is replaced: its length, 0 for none, and
  // its replacement. A damaged tree ends the search, never leaves the array.
  size_t LongestPrefix(std::string_view text, std::string_view* replacement) const;

 private:
  std::vector<uint32_t> tree_;
  std::string replacements_;
};

}  // namespace lull
