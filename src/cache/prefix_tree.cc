#include "cache/prefix_tree.h"

#include <algorithm>
#include <utility>

namespace lull {
namespace {

uint64_t HashOf(std::span<const int32_t> tokens) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a, a token at a time
  for (const int32_t token : tokens)
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x100000001b3ull;
  return hash;
}

}  // namespace

PrefixTree::PrefixTree(size_t num_pools) : num_pools_(num_pools) {}

PrefixNode* PrefixTree::root(std::span<const uint64_t> variant) {
  std::vector<uint64_t> key(variant.begin(), variant.end());
  if (const auto found = roots_.find(key); found != roots_.end()) return &found->second;
  std::erase_if(roots_, [](const auto& entry) {
    return entry.second.children.empty() && entry.second.users == 0;
  });
  PrefixNode& root = roots_[std::move(key)];
  root.pages.assign(num_pools_, -1);
  return &root;
}

PrefixNode* PrefixTree::Find(const PrefixNode* parent, std::span<const int32_t> tokens) const {
  const uint64_t hash = HashOf(tokens);
  for (PrefixNode* child : parent->children)
    if (child->hash == hash && std::equal(tokens.begin(), tokens.end(), child->tokens.begin()))
      return child;
  return nullptr;
}

std::pair<PrefixNode*, size_t> PrefixTree::FindPart(const PrefixNode* parent,
                                                    std::span<const int32_t> tokens) const {
  std::pair<PrefixNode*, size_t> best = {nullptr, 0};
  for (PrefixNode* child : parent->children) {
    const auto differ =
        std::mismatch(tokens.begin(), tokens.end(), child->tokens.begin(), child->tokens.end());
    const auto alike = static_cast<size_t>(differ.first - tokens.begin());
    if (alike > best.second) best = {child, alike};
  }
  return best;
}

PrefixNode* PrefixTree::Add(PrefixNode* parent, std::span<const int32_t> tokens) {
  auto made = std::make_unique<PrefixNode>();
  PrefixNode* node = made.get();
  node->parent = parent;
  node->tokens.assign(tokens.begin(), tokens.end());
  node->hash = HashOf(tokens);
  node->depth = parent->depth + 1;
  node->pages.assign(num_pools_, -1);
  node->last_use = ++clock_;
  // All or nothing, where memory runs out.
  parent->children.reserve(parent->children.size() + 1);
  nodes_.push_back(std::move(made));
  parent->children.push_back(node);
  return node;
}

void PrefixTree::Touch(PrefixNode* node) {
  ++clock_;
  for (; node->depth > 0; node = node->parent) node->last_use = clock_;
}

void PrefixTree::Remove(PrefixNode* node) {
  std::erase(node->parent->children, node);
  std::erase_if(nodes_, [node](const auto& owned) { return owned.get() == node; });
}

}  // namespace lull
