// Strings numbered from 0 in one block of memory, found by content in constant time.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/work_meter.h"

namespace lull {

class StringTable {
 public:
  static constexpr int32_t kMissing = -1;

  // bytes, strings: what may be added at most, so that nothing has to be copied later (memory that
  // is never used costs nothing); likely: how many there probably will be.
  void Reserve(size_t strings, size_t bytes, size_t likely, WorkMeter* meter) {
    bytes_.reserve(bytes);
    offsets_.reserve(strings + 1);
    size_t slots = 16;
    while (slots < likely + likely / 2) slots *= 2;
    Rehash(slots, meter);
  }

  int32_t size() const { return static_cast<int32_t>(offsets_.size() - 1); }
  size_t total_bytes() const { return bytes_.size(); }
  std::string_view Get(int32_t id) const {
    return std::string_view(bytes_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }

  int32_t Find(std::string_view text) const {
    if (slots_.empty()) return kMissing;
    for (size_t slot = Hash(text) & mask_;; slot = (slot + 1) & mask_) {
      const int32_t id = slots_[slot];
      if (id == kMissing || Get(id) == text) return id;
    }
  }

  // Numbers the string even where an equal one is there; Find keeps giving the first.
  int32_t Append(std::string_view text, WorkMeter* meter) {
    meter->Spend(12 + text.size() / 8);
    bytes_.append(text);
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
    if (static_cast<size_t>(size()) * 4 > slots_.size() * 3) {
      Rehash(slots_.empty() ? 16 : slots_.size() * 2, meter);
    } else {
      Insert(size() - 1);
    }
    return size() - 1;
  }
  int32_t FindOrAppend(std::string_view text, WorkMeter* meter) {
    meter->Spend(8 + text.size() / 16);
    const int32_t id = Find(text);
    return id != kMissing ? id : Append(text, meter);
  }

 private:
  static size_t Hash(std::string_view text) {
    uint64_t hash = 0x9E3779B97F4A7C15ull ^ text.size();
    const char* data = text.data();
    size_t left = text.size();
    for (; left >= 8; left -= 8, data += 8) hash = Mix(hash, Load(data, 8));
    if (left > 0) hash = Mix(hash, Load(data, left));
    return static_cast<size_t>(hash);
  }
  static uint64_t Load(const char* data, size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, data, bytes);
    return value;
  }
  static uint64_t Mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0xD6E8FEB86659FD93ull;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
    return hash ^ (hash >> 32);
  }

  void Rehash(size_t slots, WorkMeter* meter) {
    std::vector<int32_t>().swap(slots_);
    AssignPaced(meter, slots, int32_t{kMissing}, &slots_);
    mask_ = slots - 1;
    for (int32_t id = 0; id < size(); ++id) {
      meter->Spend(8 + (offsets_[id + 1] - offsets_[id]) / 16);
      Insert(id);
    }
  }
  void Insert(int32_t id) {
    const std::string_view text = Get(id);
    size_t slot = Hash(text) & mask_;
    while (slots_[slot] != kMissing) {
      if (Get(slots_[slot]) == text) return;
      slot = (slot + 1) & mask_;
    }
    slots_[slot] = id;
  }

  std::string bytes_;
  std::vector<uint32_t> offsets_ = {0};
  std::vector<int32_t> slots_;
  size_t mask_ = 0;
};

}  // namespace lull
