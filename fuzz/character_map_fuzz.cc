// Any bytes as a vocabulary's normalization, asked about any text: the last bytes of the input.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "tokenizer/character_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t text_bytes = std::min<size_t>(size, 16);
  const auto map = lull::CharacterMap::Create(bytes.substr(0, size - text_bytes));
  if (!map.ok()) return 0;
  for (std::string_view text = bytes.substr(size - text_bytes); !text.empty();
       text.remove_prefix(1)) {
    std::string_view replacement;
    const size_t length = map->LongestPrefix(text, &replacement);
    if (length > text.size() || replacement.size() > lull::CharacterMap::kMaxReplacementBytes)
      __builtin_trap();
  }
  return 0;
}
