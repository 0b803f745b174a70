// The part of KvCache that lets sequences share pages.
//
// What must hold: a sequence that shares uses every full-attention page on the path of its node
// (its own was given back where the tree had one with the same bits already). So a full-attention
// page that nobody uses has nobody behind it either, and its whole subtree can be given up, leaves
// first: every cached page counts as obtainable. Pages of windows and snapshots can go alone.
#include <algorithm>
#include <cstring>

#include "cache/kv_cache.h"

namespace lull {
namespace {

constexpr auto kPage = static_cast<int64_t>(kPageTokens);

// A page is copied for so many tokens at least: below, computing them again costs no more.
constexpr size_t kLeastCopiedTokens = 4;

int64_t PagesFor(int64_t tokens) { return (tokens + kPage - 1) / kPage; }

}  // namespace

int64_t KvCache::AdoptPrefix(int sequence, std::span<const int32_t> tokens,
                             std::span<const uint64_t> variant) {
  if (!IsOpen(sequence) || options_.prefix_cache_tokens <= 0) return 0;
  Sequence& s = at(sequence);
  if (s.length > 0 || s.node != nullptr) return 0;
  std::vector<PrefixNode*> path = {tree_.root(variant)};
  for (size_t end = kPageTokens; end < tokens.size(); end += kPageTokens) {
    PrefixNode* next = tree_.Find(path.back(), tokens.subspan(end - kPageTokens, kPageTokens));
    if (next == nullptr) break;
    path.push_back(next);
  }
  const int64_t depth = AdoptableDepth(path);
  s.node = path[static_cast<size_t>(depth)];
  ++s.node->users;
  tree_.Touch(s.node);
  s.length = depth * kPage;
  for (size_t g = 0; g < s.tables.size(); ++g) {
    Table& table = s.tables[g];
    table.first_page = FirstNeededPage(layout_.groups()[g], s.length);
    for (int64_t i = table.first_page; i < depth; ++i) {
      const int32_t page = path[static_cast<size_t>(i + 1)]->pages[g];
      pools_[g].Share(page);
      table.pages.push_back(page);
    }
  }
  if (has_state() && depth > 0)
    memcpy(StateOf(sequence, s.state_index), pools_[state_pool()].at(s.node->pages[state_pool()]),
           layout_.state_floats() * sizeof(float));
  // Where a window's pages are gone the tokens after the adopted ones are known, but not theirs.
  if (s.node == path.back()) AdoptPartOfPage(s, tokens.subspan(static_cast<size_t>(s.length)));
  return s.length;
}

// Prompts part within a page: what is before is copied, for the rest of the page will differ.
void KvCache::AdoptPartOfPage(Sequence& s, std::span<const int32_t> tokens) {
  if (has_state()) return;  // known at page ends only
  const auto [next, alike] = tree_.FindPart(s.node, tokens.first(tokens.size() - 1));
  if (alike < kLeastCopiedTokens) return;
  const auto gone = [](int32_t page) { return page < 0; };
  const size_t groups = s.tables.size();
  if (std::any_of(next->pages.begin(), next->pages.begin() + static_cast<int64_t>(groups), gone))
    return;
  const std::vector<int32_t> sources = next->pages;  // making room must not take them
  for (size_t g = 0; g < groups; ++g) pools_[g].Share(sources[g]);
  size_t copied = 0;
  for (; copied < groups; ++copied) {
    BlockPool& pool = pools_[copied];
    if (pool.available() == 0) EvictOne(copied);
    const int32_t page = pool.Take();
    if (page < 0) break;
    memcpy(pool.at(page), pool.at(sources[copied]), pool.page_bytes());
    s.tables[copied].pages.push_back(page);
  }
  for (size_t g = 0; g < groups; ++g) pools_[g].Give(sources[g]);
  if (copied == groups) {
    s.length += static_cast<int64_t>(alike);
    s.rest.assign(tokens.begin(), tokens.begin() + static_cast<int64_t>(alike));
  } else {
    TrimTail(s, s.length);
  }
}

// How many pages of the path can be gone on from: what a window still sees and the state after the
// last one must be there.
int64_t KvCache::AdoptableDepth(const std::vector<PrefixNode*>& path) const {
  const auto has = [&path](int64_t depth, size_t pool) {
    return path[static_cast<size_t>(depth)]->pages[pool] >= 0;
  };
  for (auto depth = static_cast<int64_t>(path.size()) - 1; depth > 0; --depth) {
    bool whole = !has_state() || has(depth, state_pool());
    for (size_t g = 0; whole && g < layout_.groups().size(); ++g)
      for (int64_t i = FirstNeededPage(layout_.groups()[g], depth * kPage); whole && i < depth; ++i)
        whole = has(i + 1, g);
    if (whole) return depth;
  }
  return 0;
}

// One for each page end among the positions to come; where none is left the page is shared without,
// and reuse may not end there.
void KvCache::TakeSnapshots(Sequence& s, int64_t tokens) {
  s.snapshots.clear();
  if (!has_state() || s.node == nullptr) return;
  BlockPool& pool = pools_[state_pool()];
  const int64_t ends = (s.length + tokens) / kPage - s.length / kPage;
  s.snapshots.reserve(static_cast<size_t>(ends));  // a page once taken is not lost
  for (int64_t n = ends; n > 0; --n) {
    if (pool.available() == 0) EvictOne(state_pool());
    s.snapshots.push_back(pool.Take());
  }
}

void KvCache::GiveSnapshots(Sequence& s) {
  for (const int32_t page : s.snapshots)
    if (page >= 0) pools_[state_pool()].Give(page);
  s.snapshots.clear();
}

void KvCache::ShareWholePages(Sequence& s, int64_t tokens, const int32_t* ids) {
  if (ids == nullptr) LeaveTree(s);
  if (s.node == nullptr) return;
  size_t page_end = 0;
  for (int64_t i = 0; i < tokens; ++i) {
    s.rest.push_back(ids[i]);
    if (s.rest.size() < kPageTokens) continue;
    SharePage(s, page_end < s.snapshots.size() ? s.snapshots[page_end] : -1);
    ++page_end;
    s.rest.clear();
  }
  GiveSnapshots(s);
}

// Where the tree has the page already its bits are the same, so one of the two is enough.
void KvCache::SharePage(Sequence& s, int32_t state_page) {
  PrefixNode* node = tree_.Find(s.node, s.rest);
  if (node == nullptr) node = tree_.Add(s.node, s.rest);
  for (size_t g = 0; g < s.tables.size(); ++g) {
    Table& table = s.tables[g];
    int32_t& own = table.pages[static_cast<size_t>(s.node->depth - table.first_page)];
    int32_t& kept = node->pages[g];
    if (kept < 0) {
      kept = own;
      pools_[g].Keep(own);
    } else if (kept != own) {
      pools_[g].Share(kept);
      pools_[g].Give(own);
      own = kept;
    }
  }
  if (state_page >= 0 && node->pages[state_pool()] < 0) {
    node->pages[state_pool()] = state_page;
    pools_[state_pool()].Keep(state_page);
  }
  --s.node->users;
  s.node = node;
  ++node->users;
  tree_.Touch(node);
}

void KvCache::LeaveTree(Sequence& s) {
  GiveSnapshots(s);
  s.rest.clear();
  if (s.node == nullptr) return;
  PrefixNode* node = s.node;
  --node->users;
  s.node = nullptr;
  RemoveEmpty(node);
}

// A node without any page says nothing any more, nor do those above it that then have none.
void KvCache::RemoveEmpty(PrefixNode* node) {
  const auto gone = [](int32_t page) { return page < 0; };
  while (node->depth > 0 && node->children.empty() && node->users == 0 &&
         std::all_of(node->pages.begin(), node->pages.end(), gone)) {
    PrefixNode* parent = node->parent;
    tree_.Remove(node);
    node = parent;
  }
}

// Makes one page of a pool free. False where nothing is cached in it.
bool KvCache::EvictOne(size_t pool) {
  const bool full = pool < layout_.groups().size() && layout_.groups()[pool].window == 0;
  PrefixNode* node = tree_.LeastUsed([&](const PrefixNode& n) {
    if (full && (!n.children.empty() || n.users > 0)) return false;
    return n.pages[pool] >= 0 && !pools_[pool].in_use(n.pages[pool]);
  });
  if (node == nullptr) return false;
  if (full) {
    DropNode(node);
    return true;
  }
  pools_[pool].Drop(node->pages[pool]);
  node->pages[pool] = -1;
  RemoveEmpty(node);
  return true;
}

void KvCache::DropNode(PrefixNode* node) {
  for (size_t p = 0; p < pools_.size(); ++p)
    if (node->pages[p] >= 0) pools_[p].Drop(node->pages[p]);
  tree_.Remove(node);
}

void KvCache::KeepWithinBounds() {
  const auto most = static_cast<size_t>(PagesFor(options_.prefix_cache_tokens));
  for (size_t p = 0; p < pools_.size(); ++p)
    while (pools_[p].cached() > most && EvictOne(p)) {
    }
}

}  // namespace lull
