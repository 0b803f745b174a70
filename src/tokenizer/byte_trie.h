// The token texts as a tree of bytes, for families that look for the longest or every token at a
// place. 12 bytes a node; immutable after Build.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/work_meter.h"
#include "tokenizer/vocabulary.h"

namespace lull {

class ByteTrie {
 public:
  static constexpr int32_t kRoot = 0;
  static constexpr int32_t kNowhere = -1;

  // takes(id) says whether a token is in the tree. Of equal texts the first stays.
  template <typename Takes>
  void Build(const Vocabulary& vocab, const Takes& takes, WorkMeter* meter) {
    std::vector<int32_t> ids;
    ids.reserve(static_cast<size_t>(vocab.num_tokens()));
    size_t bytes = 1;
    for (int32_t id = 0; id < vocab.num_tokens(); ++id) {
      meter->Spend(1);
      if (!takes(id)) continue;
      ids.push_back(id);
      bytes += vocab.texts.Get(id).size();
    }
    std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      meter->Spend(4);
      const int order = vocab.texts.Get(a).compare(vocab.texts.Get(b));
      return order != 0 ? order < 0 : a < b;
    });
    // Room for the worst case, never touched beyond what is used: growing would copy megabytes.
    nodes_.reserve(bytes);
    std::vector<Range> ranges;
    ranges.reserve(bytes);
    nodes_.push_back(Node{});
    ranges.push_back({0, static_cast<uint32_t>(ids.size()), 0});
    for (size_t node = 0; node < nodes_.size(); ++node) {
      AddChildren(vocab, ids, node, &ranges, meter);
    }
    FreePaced(meter, &ranges);
    FreePaced(meter, &ids);
  }

  // The node that byte leads to, kNowhere where no token goes on like that.
  int32_t Child(int32_t node, char byte) const {
    const Node& parent = nodes_[static_cast<size_t>(node)];
    const uint8_t label = static_cast<uint8_t>(byte);
    uint32_t first = parent.first_child, last = first + parent.children;
    while (first < last) {
      const uint32_t middle = (first + last) / 2;
      if (nodes_[middle].label < label) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    const bool found = first < parent.first_child + parent.children && nodes_[first].label == label;
    return found ? static_cast<int32_t>(first) : kNowhere;
  }
  // The token that ends at node, kNoToken for none.
  int32_t TokenAt(int32_t node) const { return nodes_[static_cast<size_t>(node)].id; }

 private:
  struct Node {
    uint32_t first_child = 0;
    int32_t id = kNoToken;
    uint16_t children = 0;
    uint8_t label = 0;
  };
  // Of the sorted ids: those whose texts share their first `depth` bytes.
  struct Range {
    uint32_t begin, end, depth;
  };

  void AddChildren(const Vocabulary& vocab, const std::vector<int32_t>& ids, size_t node,
                   std::vector<Range>* ranges, WorkMeter* meter) {
    Range range = (*ranges)[node];
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    for (; range.begin < range.end; ++range.begin) {
      meter->Spend(2);
      const int32_t id = ids[range.begin];
      const std::string_view text = vocab.texts.Get(id);
      if (text.size() == range.depth) {
        if (nodes_[node].id == kNoToken) nodes_[node].id = id;
        continue;
      }
      const uint8_t label = static_cast<uint8_t>(text[range.depth]);
      const bool first = nodes_[node].children == 0;
      if (first || nodes_.back().label != label) {
        ++nodes_[node].children;
        nodes_.push_back(Node{0, kNoToken, 0, label});
        ranges->push_back({range.begin, range.begin, range.depth + 1});
      }
      ranges->back().end = range.begin + 1;
    }
  }

  std::vector<Node> nodes_;
};

// A text longer than this in a family that walks a tree at every byte: no real vocabulary has one,
// and the time for a text would no longer be linear.
constexpr size_t kMaxWalkedTokenBytes = 512;
Status CheckWalkedTokens(const Vocabulary& vocab, WorkMeter* meter);

}  // namespace lull
