// What memory is promised to whom, so that the declared RAM holds it all: nothing is loaded or
// allocated before its promise. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>

#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

enum class MemoryPart { kWeights, kPacked, kKv, kActivations, kOther };
inline constexpr size_t kMemoryParts = 5;

class MemoryBook;

// A promise; ends with the object. The book outlives it.
class MemoryPromise {
 public:
  MemoryPromise() = default;
  MemoryPromise(MemoryPromise&& other) noexcept;
  MemoryPromise& operator=(MemoryPromise&& other) noexcept;
  ~MemoryPromise();
  int64_t bytes() const { return bytes_; }

 private:
  friend class MemoryBook;
  MemoryPromise(MemoryBook* book, MemoryPart part, int64_t bytes)
      : book_(book), part_(part), bytes_(bytes) {}

  MemoryBook* book_ = nullptr;
  MemoryPart part_ = MemoryPart::kOther;
  int64_t bytes_ = 0;
};

class MemoryBook {
 public:
  static constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

  explicit MemoryBook(int64_t limit_bytes) : limit_(limit_bytes) {}  // 0: none

  // kBudgetImpossible with the sum where it does not fit. more: what must follow for this to be of
  // use (the least KV of a model), part of the sum and not promised. hint: what to do; "": the RAM
  // that would do.
  Result<MemoryPromise> Promise(MemoryPart part, int64_t bytes, int64_t more = 0,
                                const std::string& hint = {});
  // kBudgetImpossible where more is promised already; then the old limit stays.
  Status SetLimit(int64_t limit_bytes);
  int64_t left() const;         // kUnlimited where there is no limit
  MemoryLedger ledger() const;  // the parts, the sum of the planned ones and the limit

  // What is held now within a planned part, for the ledger: prefix caches (of the KV) and
  // connections (of the rest). Whoever holds adds and takes away.
  std::atomic<int64_t>& cached_bytes() { return cached_bytes_; }
  std::atomic<int64_t>& connection_bytes() { return connection_bytes_; }

 private:
  friend class MemoryPromise;
  void GiveBack(MemoryPart part, int64_t bytes);
  int64_t SumLocked() const;
  std::string SumTextLocked() const;

  mutable std::mutex mutex_;
  int64_t limit_;                                 // guarded by mutex_
  std::array<int64_t, kMemoryParts> parts_ = {};  // guarded by mutex_
  std::atomic<int64_t> cached_bytes_{0}, connection_bytes_{0};
};

// "95.3 MB".
std::string MegabytesText(int64_t bytes);
// Rounded up, as --ram reads it: "129MB".
std::string RamText(int64_t bytes);

}  // namespace lull
