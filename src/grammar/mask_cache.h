// Masks by state, shared between the requests that use a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/token_trie.h"

namespace lull::grammar {

// What a state says of every token, whatever lies on the stack. Immutable.
struct LocalMask {
  // The tokens that end within the state's rule, or with it: as bits where they are many, else by
  // id.
  std::vector<uint32_t> bits;
  std::vector<int32_t> tokens;
  // Those that go on behind the rule's end, by the bytes that do: the stack decides.
  TokenTrie rest;

  void AddTo(std::span<uint32_t> mask) const {
    for (size_t i = 0; i < bits.size(); ++i) mask[i] |= bits[i];
    for (int32_t token : tokens) mask[token / 32] |= uint32_t{1} << (token % 32);
  }
  int64_t memory_bytes() const {
    return static_cast<int64_t>(sizeof(*this) + 4 * (bits.capacity() + tokens.capacity())) +
           rest.memory_bytes();
  }
};

// Thread-safe. Past its limit it forgets everything; what is in use lives on.
class MaskCache {
 public:
  explicit MaskCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  std::shared_ptr<const LocalMask> Find(const std::vector<Ref>& nodes) const {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = masks_.find(nodes);
    return it == masks_.end() ? nullptr : it->second;
  }
  void Insert(const std::vector<Ref>& nodes, std::shared_ptr<const LocalMask> mask) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (bytes_ > max_bytes_) {
      masks_.clear();
      bytes_ = 0;
    }
    const int64_t bytes = mask->memory_bytes() + static_cast<int64_t>(8 * nodes.size()) + 64;
    if (masks_.emplace(nodes, std::move(mask)).second) bytes_ += bytes;
  }
  int64_t bytes() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
  }

 private:
  struct Hash {
    size_t operator()(const std::vector<Ref>& nodes) const {
      uint64_t hash = nodes.size();
      for (Ref node : nodes) {
        hash = (hash ^ node.bits) * 0xD6E8FEB86659FD93ull;
        hash ^= hash >> 32;
      }
      return static_cast<size_t>(hash);
    }
  };
  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::unordered_map<std::vector<Ref>, std::shared_ptr<const LocalMask>, Hash> masks_;
  int64_t bytes_ = 0;
};

}  // namespace lull::grammar
