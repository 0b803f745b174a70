// The KV state of all sequences of one runner: a pool per layout group, a block table per sequence
// and group, recurrent state. Reserve, compute, then Commit or Release: what was not committed
// never happened. Pages of sequences that share stay behind in a radix tree over their tokens, and
// the next sequence that begins with the same tokens takes them over; nothing is copied but
// recurrent state and the page within which two sequences part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/os/os.h"
#include "cache/block_pool.h"
#include "cache/kv_layout.h"
#include "cache/prefix_tree.h"
#include "lull/decoder.h"
#include "lull/status.h"

namespace lull {

struct KvCacheOptions {
  int64_t pool_tokens = 0;         // capacity of full-attention pages
  int64_t max_context_tokens = 0;  // per sequence
  int max_sequences = 1;
  int max_batch_rows = 512;
  // Kept at most when no sequence uses them, and given up, the least used first, where the pool
  // runs short. 0: no prefix cache.
  int64_t prefix_cache_tokens = 0;
};

// What Create allocates, and what one sequence of max_context_tokens holds at most.
struct KvBytes {
  size_t all = 0;
  size_t sequence = 0;
};
KvBytes KvCacheBytes(const KvLayout& layout, const KvCacheOptions& options);

// Not thread-safe.
class KvCache {
 public:
  static Result<std::unique_ptr<KvCache>> Create(const KvLayout& layout,
                                                 const KvCacheOptions& options);

  const KvLayout& layout() const { return layout_; }
  const BlockPool& pool(int group) const { return pools_[static_cast<size_t>(group)]; }

  Result<int> Open();        // kBusy where max_sequences are open
  void Close(int sequence);  // unknown ids are ignored
  bool IsOpen(int sequence) const;
  int64_t length(int sequence) const;  // 0 for unknown ids
  // For an empty sequence: from now on it shares its pages, and it takes over those of the longest
  // prefix of `tokens` that is kept, without the last token, whose logits are still wanted: whole
  // pages are shared, and the beginning of one more copied unless the model has recurrent state.
  // Returns the length. 0 where there is no prefix cache. variant: what else than tokens fixes K
  // and V; only sequences of the same one share.
  int64_t AdoptPrefix(int sequence, std::span<const int32_t> tokens,
                      std::span<const uint64_t> variant = {});
  // Forgets positions >= length. kUnsupported where the state to go back to is gone, and for a
  // sequence that shares its pages unless length is 0; after that it shares them no more.
  Status Truncate(int sequence, int64_t length);

  // Pages that `tokens` more positions would take are free, or kept for nobody.
  bool HasRoom(int sequence, int64_t tokens) const;
  KvUsage usage() const;
  size_t prefix_nodes() const { return tree_.size(); }  // pages' worth of tokens that are kept
  int64_t SequenceBytes(int sequence) const;            // of the pages it holds

  // Takes pages for positions [length, length + tokens); all or nothing. kBusy where the pool has
  // too few. Requires: IsOpen.
  Status Reserve(int sequence, int64_t tokens);
  // The reserved positions are now part of the sequence. ids: their tokens, wanted of sequences
  // that share.
  void Commit(int sequence, int64_t tokens, const int32_t* ids = nullptr);
  void Release(int sequence);  // gives back what was reserved and not committed

  // The block table of a group: entry i is the page of positions [(first_page + i) * 64, ...).
  const int32_t* table(int sequence, int group) const;
  int64_t first_page(int sequence, int group) const;

  // Recurrent state of a layer: as committed, and where the next one is to be written.
  const float* state(int sequence, size_t layer) const;
  float* next_state(int sequence, size_t layer);
  // Where the state as of the n-th page end among the reserved positions is to be written: n from 0
  // to num_snapshots, after snapshot_rows of the reserved positions; null where it is not wanted.
  size_t num_snapshots(int sequence) const { return at(sequence).snapshots.size(); }
  size_t snapshot_rows(int sequence, size_t n) const;
  float* snapshot(int sequence, size_t n, size_t layer);

 private:
  struct Table {
    int64_t first_page = 0;
    std::vector<int32_t> pages;  // capacity reserved once
  };
  struct Sequence {
    bool open = false;
    int64_t length = 0;
    int state_index = 0;        // which of the two states is committed
    std::vector<Table> tables;  // per group
    // Of a sequence that shares: the node of its last whole page, what lies behind it, and pages
    // for the state at the page ends among the reserved positions.
    PrefixNode* node = nullptr;  // null: shares nothing
    std::vector<int32_t> rest;
    std::vector<int32_t> snapshots;  // -1: no page was left
  };

  explicit KvCache(const KvLayout& layout) : layout_(layout), tree_(layout.groups().size() + 1) {}
  Sequence& at(int sequence) { return sequences_[static_cast<size_t>(sequence)]; }
  const Sequence& at(int sequence) const { return sequences_[static_cast<size_t>(sequence)]; }
  float* StateOf(int sequence, int index) const;
  int64_t FirstNeededPage(const KvGroup& group, int64_t length) const;
  void TrimTail(Sequence& s, int64_t length);
  void DropHead(Sequence& s);
  int64_t MissingPages(const Sequence& s, size_t group, int64_t tokens) const;
  size_t obtainable(size_t pool) const { return pools_[pool].available() + pools_[pool].cached(); }

  // The prefix cache.
  bool has_state() const { return layout_.state_floats() > 0; }
  size_t state_pool() const { return layout_.groups().size(); }
  int64_t AdoptableDepth(const std::vector<PrefixNode*>& path) const;
  void AdoptPartOfPage(Sequence& s, std::span<const int32_t> tokens);
  void TakeSnapshots(Sequence& s, int64_t tokens);
  void GiveSnapshots(Sequence& s);
  void ShareWholePages(Sequence& s, int64_t tokens, const int32_t* ids);
  void SharePage(Sequence& s, int32_t state_page);
  void LeaveTree(Sequence& s);
  void RemoveEmpty(PrefixNode* node);
  bool EvictOne(size_t pool);
  void DropNode(PrefixNode* node);
  void KeepWithinBounds();

  KvLayout layout_;
  KvCacheOptions options_;
  std::vector<BlockPool> pools_;  // per group, and one of snapshots of the recurrent state
  PrefixTree tree_;
  std::vector<Sequence> sequences_;
  os::Memory states_;  // [sequence][2][state_floats]
};

}  // namespace lull
