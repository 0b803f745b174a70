#include "tokenizer/character_map.h"

#include <utility>

namespace lull {
namespace {

constexpr size_t kHeaderBytes = 4;

Error Bad(std::string message) {
  return {ErrorCode::kInvalidModel, std::move(message), "tokenizer.ggml.precompiled_charsmap",
          "the vocabulary is damaged; fetch or convert the file again"};
}

uint32_t ChildrenOffset(uint32_t node) { return (node >> 10) << ((node & (1u << 9)) >> 6); }
// Bit 31 marks a value: no label equals it.
uint32_t Label(uint32_t node) { return node & (1u << 31 | 0xFF); }
bool EndsSequence(uint32_t node) { return (node >> 8 & 1) != 0; }

}  // namespace

Result<CharacterMap> CharacterMap::Create(std::string_view bytes) {
  const auto word_at = [&](size_t i) {
    uint32_t word = 0;
    for (size_t k = 0; k < 4; ++k) word |= uint32_t{static_cast<uint8_t>(bytes[i + k])} << 8 * k;
    return word;
  };
  CharacterMap map;
  if (bytes.empty()) return map;
  if (bytes.size() < kHeaderBytes) return Bad("is too short to be read");
  const size_t tree_bytes = word_at(0);
  if (tree_bytes >= bytes.size() - kHeaderBytes) return Bad("ends within its tree");
  map.tree_.reserve(tree_bytes / 4);
  for (size_t i = 0; i + 4 <= tree_bytes; i += 4) map.tree_.push_back(word_at(kHeaderBytes + i));
  map.replacements_ = bytes.substr(kHeaderBytes + tree_bytes);
  size_t length = 0;
  for (char c : map.replacements_) {
    length = c == '\0' ? 0 : length + 1;
    if (length > kMaxReplacementBytes) {
      return Bad("has a replacement of more than " + std::to_string(kMaxReplacementBytes) +
                 " bytes");
    }
  }
  if (length != 0) return Bad("ends within a replacement");
  return map;
}

size_t CharacterMap::LongestPrefix(std::string_view text, std::string_view* replacement) const {
  if (tree_.empty()) return 0;
  size_t longest = 0;
  size_t node = ChildrenOffset(tree_[0]);
  for (size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= tree_.size() || Label(tree_[node]) != byte) break;
    const bool ends = EndsSequence(tree_[node]);
    node ^= ChildrenOffset(tree_[node]);
    if (!ends || node >= tree_.size()) continue;
    const size_t begin = tree_[node] & ~(1u << 31);
    if (begin >= replacements_.size()) break;
    longest = i + 1;
    *replacement = std::string_view(replacements_.c_str() + begin);
  }
  return longest;
}

}  // namespace lull
