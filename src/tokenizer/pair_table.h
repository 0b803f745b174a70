// Ranked merges by their two parts: an open hash table of fixed load.
#pragma once

#include <cstdint>
#include <vector>

#include "base/work_meter.h"
#include "tokenizer/merge.h"

namespace lull {

class PairTable {
 public:
  // Requires: called once, before Insert, with at least as many pairs as will be inserted.
  void Reserve(size_t pairs, WorkMeter* meter) {
    size_t slots = 16;
    while (slots < pairs + pairs / 2) slots *= 2;
    AssignPaced(meter, slots, Slot{}, &slots_);
    mask_ = slots - 1;
  }

  // The first entry of a pair stays.
  void Insert(int32_t left, int32_t right, MergeCandidate merge) {
    const uint64_t key = Key(left, right);
    size_t slot = Hash(key) & mask_;
    while (slots_[slot].key != kEmpty) {
      if (slots_[slot].key == key) return;
      slot = (slot + 1) & mask_;
    }
    slots_[slot] = {key, merge};
  }

  bool Find(int32_t left, int32_t right, MergeCandidate* merge) const {
    const uint64_t key = Key(left, right);
    for (size_t slot = Hash(key) & mask_;; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) {
        *merge = slots_[slot].merge;
        return true;
      }
      if (slots_[slot].key == kEmpty) return false;
    }
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    MergeCandidate merge;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  static size_t Hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15ull;
    return static_cast<size_t>(key ^ (key >> 32));
  }

  std::vector<Slot> slots_ = std::vector<Slot>(1);
  size_t mask_ = 0;
};

}  // namespace lull
