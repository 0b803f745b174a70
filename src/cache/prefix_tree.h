// What is known of tokens computed before: a radix tree whose edges are whole pages of 64 tokens.
// It knows tokens and page numbers; whose memory they are is the KV cache's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace lull {

// The page that follows `parent`'s.
struct PrefixNode {
  PrefixNode* parent = nullptr;
  std::vector<PrefixNode*> children;
  std::vector<int32_t> tokens;
  uint64_t hash = 0;
  int64_t depth = 0;           // pages from the root to this one, itself included; 0: a root
  std::vector<int32_t> pages;  // per page pool; -1: not there any more
  int64_t users = 0;           // sequences that have come exactly this far
  uint64_t last_use = 0;
};

// Not thread-safe.
class PrefixTree {
 public:
  explicit PrefixTree(size_t num_pools);

  // Where sequences of a variant begin: what else than tokens fixes K and V (adapters); empty: the
  // model as it is. Stays while it has children or users.
  PrefixNode* root(std::span<const uint64_t> variant = {});
  size_t size() const { return nodes_.size(); }  // without roots
  // Null where there is none. Requires: a whole page of tokens.
  PrefixNode* Find(const PrefixNode* parent, std::span<const int32_t> tokens) const;
  // The child that begins with most of the tokens, and with how many; null and 0 where none does.
  std::pair<PrefixNode*, size_t> FindPart(const PrefixNode* parent,
                                          std::span<const int32_t> tokens) const;
  PrefixNode* Add(PrefixNode* parent, std::span<const int32_t> tokens);
  void Touch(PrefixNode* node);  // and all before it
  // Requires: no children, no users, not a root.
  void Remove(PrefixNode* node);

  // The one not used for the longest time (of several the last of its path) that satisfies the
  // predicate; null where none does. Linear.
  template <typename Predicate>
  PrefixNode* LeastUsed(Predicate&& predicate) const {
    PrefixNode* least = nullptr;
    for (const auto& node : nodes_) {
      if (!predicate(*node)) continue;
      const bool older = least == nullptr || node->last_use < least->last_use ||
                         (node->last_use == least->last_use && node->depth > least->depth);
      if (older) least = node.get();
    }
    return least;
  }

 private:
  std::map<std::vector<uint64_t>, PrefixNode> roots_;
  std::vector<std::unique_ptr<PrefixNode>> nodes_;
  const size_t num_pools_;
  uint64_t clock_ = 0;
};

}  // namespace lull
