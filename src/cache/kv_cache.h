// The KV state of all sequences of one runner: a pool per layout group, a block table per sequence
// and group, recurrent state. Reserve, compute, then Commit or Release: what was not committed
// never happened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/os/os.h"
#include "cache/block_pool.h"
#include "cache/kv_layout.h"
#include "lull/decoder.h"
#include "lull/status.h"

namespace lull {

struct KvCacheOptions {
  int64_t pool_tokens = 0;         // capacity of full-attention pages
  int64_t max_context_tokens = 0;  // per sequence
  int max_sequences = 1;
  int max_batch_rows = 512;
};

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
  // Forgets positions >= length. kUnsupported where the state to go back to is gone.
  Status Truncate(int sequence, int64_t length);

  // Pages that `tokens` more positions would take are free.
  bool HasRoom(int sequence, int64_t tokens) const;
  KvUsage usage() const;
  int64_t SequenceBytes(int sequence) const;  // of the pages it holds

  // Takes pages for positions [length, length + tokens); all or nothing. kBusy where the pool has
  // too few. Requires: IsOpen.
  Status Reserve(int sequence, int64_t tokens);
  void Commit(int sequence, int64_t tokens);  // the reserved positions are now part of the sequence
  void Release(int sequence);                 // gives back what was reserved and not committed

  // The block table of a group: entry i is the page of positions [(first_page + i) * 64, ...).
  const int32_t* table(int sequence, int group) const;
  int64_t first_page(int sequence, int group) const;

  // Recurrent state of a layer: as committed, and where the next one is to be written.
  const float* state(int sequence, size_t layer) const;
  float* next_state(int sequence, size_t layer);

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
  };

  explicit KvCache(const KvLayout& layout) : layout_(layout) {}
  Sequence& at(int sequence) { return sequences_[static_cast<size_t>(sequence)]; }
  const Sequence& at(int sequence) const { return sequences_[static_cast<size_t>(sequence)]; }
  float* StateOf(int sequence, int index) const;
  int64_t FirstNeededPage(const KvGroup& group, int64_t length) const;
  void TrimTail(Sequence& s, int64_t length);
  void DropHead(Sequence& s);
  int64_t MissingPages(const Sequence& s, size_t group, int64_t tokens) const;

  KvLayout layout_;
  KvCacheOptions options_;
  std::vector<BlockPool> pools_;
  std::vector<Sequence> sequences_;
  os::Memory states_;  // [sequence][2][state_floats]
};

}  // namespace lull
