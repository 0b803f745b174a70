// Repeated merging of the best adjacent pair: what both tokenizer families do within a word.
// O(n^2) with small constants for short words, O(n log n) for long ones; same result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/work_meter.h"

namespace lull {

// A stretch of the word's text; id is the family's number for that text, -1 where it has none.
struct MergeSymbol {
  uint32_t begin = 0;
  uint32_t size = 0;
  int32_t id = -1;
};

// Smaller priority merges first; equal priorities from left to right.
struct MergeCandidate {
  uint32_t priority = 0;
  int32_t id = -1;  // of the merged text
};

class Merger {
 public:
  // find(left, right, &candidate) says whether two neighbours may merge. Leaves the final symbols
  // in *symbols.
  template <typename Find>
  void Run(const Find& find, WorkMeter* meter, std::vector<MergeSymbol>* symbols) {
    meter->Spend(symbols->size());
    if (symbols->size() < 2) return;
    if (symbols->size() <= kShortWord) {
      RunShort(find, symbols);
    } else {
      RunLong(find, meter, symbols);
    }
  }

  void Free(WorkMeter* meter) {
    FreePaced(meter, &heap_);
    FreePaced(meter, &previous_);
    FreePaced(meter, &next_);
  }

 private:
  static constexpr size_t kShortWord = 24;
  static constexpr uint64_t kNever = UINT64_MAX;

  struct Entry {
    uint64_t order;  // priority, then index of the left symbol
    uint32_t size;   // of the merged text; a pair of another size is outdated
    int32_t id;
  };
  static bool Later(const Entry& a, const Entry& b) { return a.order > b.order; }

  template <typename Find>
  static uint64_t PairOrder(const Find& find, const MergeSymbol& left, const MergeSymbol& right,
                            int32_t* id) {
    MergeCandidate candidate;
    if (!find(left, right, &candidate)) return kNever;
    *id = candidate.id;
    return candidate.priority;
  }

  template <typename Find>
  static void RunShort(const Find& find, std::vector<MergeSymbol>* symbols) {
    MergeSymbol* s = symbols->data();
    size_t n = symbols->size();
    uint64_t order[kShortWord];
    int32_t ids[kShortWord];
    for (size_t i = 0; i + 1 < n; ++i) order[i] = PairOrder(find, s[i], s[i + 1], &ids[i]);
    while (n > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < n; ++i) {
        if (order[i] < order[best]) best = i;
      }
      if (order[best] == kNever) break;
      s[best].size += s[best + 1].size;
      s[best].id = ids[best];
      --n;
      for (size_t i = best + 1; i < n; ++i) s[i] = s[i + 1];
      for (size_t i = best + 1; i + 1 < n; ++i) {
        order[i] = order[i + 1];
        ids[i] = ids[i + 1];
      }
      if (best > 0) order[best - 1] = PairOrder(find, s[best - 1], s[best], &ids[best - 1]);
      if (best + 1 < n) order[best] = PairOrder(find, s[best], s[best + 1], &ids[best]);
    }
    symbols->resize(n);
  }

  template <typename Find>
  void Push(const Find& find, const std::vector<MergeSymbol>& symbols, int32_t left,
            int32_t right) {
    if (left < 0 || right < 0) return;
    Entry entry;
    const uint64_t priority = PairOrder(find, symbols[left], symbols[right], &entry.id);
    if (priority == kNever) return;
    entry.order = priority << 32 | static_cast<uint32_t>(left);
    entry.size = symbols[left].size + symbols[right].size;
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }

  template <typename Find>
  void RunLong(const Find& find, WorkMeter* meter, std::vector<MergeSymbol>* symbols) {
    std::vector<MergeSymbol>& s = *symbols;
    const int32_t n = static_cast<int32_t>(s.size());
    heap_.clear();
    heap_.reserve(2 * s.size());  // each merge takes one entry and adds two at most
    previous_.clear();
    next_.clear();
    previous_.reserve(s.size());
    next_.reserve(s.size());
    for (int32_t i = 0; i < n; ++i) {
      meter->Spend(6);
      previous_.push_back(i - 1);
      next_.push_back(i + 1 < n ? i + 1 : -1);
      if (i + 1 < n) Push(find, s, i, i + 1);
    }
    while (!heap_.empty()) {
      meter->Spend(16);
      const Entry entry = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), Later);
      heap_.pop_back();
      const int32_t left = static_cast<int32_t>(entry.order & UINT32_MAX);
      const int32_t right = next_[left];
      // An absorbed symbol has size 0; sizes only grow, so an equal sum is the pair that was meant.
      if (s[left].size == 0 || right < 0 || s[left].size + s[right].size != entry.size) continue;
      s[left].size = entry.size;
      s[left].id = entry.id;
      s[right].size = 0;
      next_[left] = next_[right];
      if (next_[left] >= 0) previous_[next_[left]] = left;
      Push(find, s, previous_[left], left);
      Push(find, s, left, next_[left]);
    }
    size_t kept = 0;
    for (int32_t i = 0; i >= 0; i = next_[i]) {
      meter->Spend(1);
      s[kept++] = s[i];
    }
    symbols->resize(kept);
  }

  std::vector<Entry> heap_;
  std::vector<int32_t> previous_, next_;
};

}  // namespace lull
