#include "grammar/code_set.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace lull::grammar {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

// Splits [first, last], both of one encoded length, until each byte ranges on its own.
void SplitSameLength(uint32_t first, uint32_t last, std::vector<ByteSequence>* out) {
  std::vector<CodeSet::Range> todo = {{first, last}};
  while (!todo.empty()) {
    const auto [low, high] = todo.back();
    todo.pop_back();
    char low_bytes[4], high_bytes[4];
    const int size = static_cast<int>(EncodeUtf8(low, low_bytes));
    EncodeUtf8(high, high_bytes);
    uint32_t cut = 0;  // where to cut, 0: nowhere; no code above ASCII starts at 0
    for (int i = 1; i < size && cut == 0; ++i) {
      const uint32_t rest = (uint32_t{1} << (6 * i)) - 1;
      if ((low & ~rest) == (high & ~rest)) continue;
      if ((low & rest) != 0)
        cut = (low | rest) + 1;
      else if ((high & rest) != rest)
        cut = high & ~rest;
    }
    if (cut != 0) {
      todo.push_back({cut, high});
      todo.push_back({low, cut - 1});
      continue;
    }
    ByteSequence sequence;
    sequence.size = size;
    for (int i = 0; i < size; ++i) {
      sequence.low[i] = static_cast<uint8_t>(low_bytes[i]);
      sequence.high[i] = static_cast<uint8_t>(high_bytes[i]);
    }
    out->push_back(sequence);
  }
}

}  // namespace

void CodeSet::Add(uint32_t first, uint32_t last) {
  last = std::min(last, kMaxCode);
  if (first < kFirstSurrogate) AddPiece(first, std::min(last, kFirstSurrogate - 1));
  AddPiece(std::max(first, first < kFirstSurrogate ? kLastSurrogate + 1 : first), last);
}

void CodeSet::AddPiece(uint32_t first, uint32_t last) {
  if (first >= kFirstSurrogate && first <= kLastSurrogate) first = kLastSurrogate + 1;
  if (last >= kFirstSurrogate && last <= kLastSurrogate) last = kFirstSurrogate - 1;
  if (first > last) return;
  // The ranges that touch the new one become one with it.
  auto begin = std::find_if(ranges_.begin(), ranges_.end(),
                            [&](const Range& range) { return range.second + 1 >= first; });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= last + 1; ++end) {
    first = std::min(first, end->first);
    last = std::max(last, end->second);
  }
  ranges_.insert(ranges_.erase(begin, end), {first, last});
}

void CodeSet::Add(const CodeSet& other) {
  for (const Range& range : other.ranges_) AddPiece(range.first, range.second);
}

CodeSet CodeSet::Complement() const {
  CodeSet result;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.Add(next, range.first - 1);
    next = range.second + 1;
  }
  if (next <= kMaxCode) result.Add(next, kMaxCode);
  return result;
}

CodeSet CodeSet::Minus(const CodeSet& other) const {
  CodeSet excluded = Complement();
  excluded.Add(other);
  return excluded.Complement();
}

bool CodeSet::Has(uint32_t code) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return range.first <= code && code <= range.second;
  });
}

std::vector<ByteSequence> Utf8Sequences(const CodeSet& set) {
  constexpr CodeSet::Range kLengths[] = {
      {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, kMaxCode}};
  std::vector<ByteSequence> sequences;
  for (const CodeSet::Range& range : set.ranges()) {
    for (const CodeSet::Range& length : kLengths) {
      const uint32_t first = std::max(range.first, length.first);
      const uint32_t last = std::min(range.second, length.second);
      if (first <= last) SplitSameLength(first, last, &sequences);
    }
  }
  return sequences;
}

bool IsValidUtf8(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const uint32_t code = NextCodePoint(text, &pos);
    if (code > kMaxCode || (code >= kFirstSurrogate && code <= kLastSurrogate)) return false;
    char bytes[4];
    // A malformed byte comes back as U+FFFD, an overlong form as a code that is shorter.
    const size_t size = EncodeUtf8(code, bytes);
    if (text.substr(begin, pos - begin) != std::string_view(bytes, size)) return false;
  }
  return true;
}

}  // namespace lull::grammar
