#include "grammar/token_trie.h"

#include <algorithm>

namespace lull::grammar {
namespace {

using Entries = std::vector<TokenTrie::Entry>;

// Sorts by bytes, then token, a merge at a time so that the work can be paced.
void SortPaced(WorkMeter* meter, Entries* entries) {
  const auto before = [](const TokenTrie::Entry& a, const TokenTrie::Entry& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.token < b.token;
  };
  constexpr size_t kRun = 256;
  const size_t size = entries->size();
  for (size_t begin = 0; begin < size; begin += kRun) {
    const size_t end = std::min(begin + kRun, size);
    std::sort(entries->begin() + begin, entries->begin() + end, before);
    meter->Spend(4 * kRun);
  }
  Entries merged;
  AssignPaced(meter, size, TokenTrie::Entry{}, &merged);
  for (size_t run = kRun; run < size; run *= 2) {
    for (size_t begin = 0; begin < size; begin += 2 * run) {
      const size_t middle = std::min(begin + run, size), end = std::min(begin + 2 * run, size);
      size_t left = begin, right = middle;
      for (size_t to = begin; to < end; ++to) {
        if ((to & 0xFF) == 0) meter->Spend(0x200);
        const bool take_right =
            left == middle || (right < end && before((*entries)[right], (*entries)[left]));
        merged[to] = (*entries)[take_right ? right++ : left++];
      }
    }
    entries->swap(merged);
  }
  FreePaced(meter, &merged);
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t size = 0;
  while (size < limit && a[size] == b[size]) ++size;
  return size;
}

// A node for each byte that an entry does not share with the one before it.
size_t CountNodes(WorkMeter* meter, const Entries& entries) {
  size_t nodes = 0;
  std::string_view previous;
  for (const TokenTrie::Entry& entry : entries) {
    meter->Spend(1);
    nodes += entry.bytes.size() - CommonPrefix(previous, entry.bytes);
    previous = entry.bytes;
  }
  return nodes;
}

}  // namespace

TokenTrie::TokenTrie(std::vector<Entry> entries, WorkMeter* meter) {
  SortPaced(meter, &entries);
  const size_t nodes = CountNodes(meter, entries);  // growing by copies would be long steps
  bytes_.reserve(nodes);
  depths_.reserve(nodes);
  ends_.reserve(nodes);
  first_token_.reserve(nodes + 1);
  tokens_.reserve(entries.size());
  std::vector<int32_t> path;  // node by depth - 1
  std::string_view previous;
  const auto close = [&](size_t depth) {  // nodes deeper than depth end here
    while (path.size() > depth) {
      ends_[path.back()] = num_nodes();
      path.pop_back();
    }
  };
  for (const Entry& entry : entries) {
    const size_t shared = CommonPrefix(previous, entry.bytes);
    close(shared);
    meter->Spend(2 + 2 * (entry.bytes.size() - shared));
    for (size_t i = shared; i < entry.bytes.size(); ++i) {
      path.push_back(num_nodes());
      bytes_.push_back(static_cast<uint8_t>(entry.bytes[i]));
      depths_.push_back(static_cast<int32_t>(i) + 1);
      ends_.push_back(0);
      first_token_.push_back(static_cast<int32_t>(tokens_.size()));
    }
    tokens_.push_back(entry.token);
    max_depth_ = std::max(max_depth_, static_cast<int32_t>(entry.bytes.size()));
    previous = entry.bytes;
  }
  close(0);
  first_token_.push_back(static_cast<int32_t>(tokens_.size()));
  FreePaced(meter, &entries);
}

int64_t TokenTrie::memory_bytes() const {
  return static_cast<int64_t>(bytes_.capacity() +
                              sizeof(int32_t) * (depths_.capacity() + ends_.capacity() +
                                                 first_token_.capacity() + tokens_.capacity()));
}

}  // namespace lull::grammar
