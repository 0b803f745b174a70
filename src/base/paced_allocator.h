// Containers that are filled, grown and freed with checkpoints: for computations whose values begin
// and end anywhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "base/os/os.h"
#include "base/work_meter.h"

namespace lull {

// Within its scope what the thread does through a PacedAllocator is charged to `meter`, which
// outlives it. Scopes nest.
class PacedScope {
 public:
  explicit PacedScope(WorkMeter* meter) : outer_(std::exchange(current_, meter)) {}
  ~PacedScope() { current_ = outer_; }
  PacedScope(const PacedScope&) = delete;
  PacedScope& operator=(const PacedScope&) = delete;

  // Null outside of any scope.
  static WorkMeter* Current() { return current_; }

 private:
  static inline thread_local WorkMeter* current_ = nullptr;
  WorkMeter* outer_;
};

template <typename T>
class PacedAllocator {
 public:
  using value_type = T;
  PacedAllocator() = default;
  template <typename U>
  PacedAllocator(const PacedAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t count) { return std::allocator<T>().allocate(count); }

  // Gives long buffers back piece by piece: the system takes a microsecond or so for each page.
  void deallocate(T* data, size_t count) {
    WorkMeter* const meter = PacedScope::Current();
    if (meter != nullptr) DiscardPaced(meter, data, count * sizeof(T));
    std::allocator<T>().deallocate(data, count);
  }

  template <typename U, typename... Args>
  void construct(U* item, Args&&... args) {
    ::new (static_cast<void*>(item)) U(std::forward<Args>(args)...);
    Spend();
  }

  template <typename U>
  void destroy(U* item) {
    item->~U();
    Spend();
  }

  friend bool operator==(const PacedAllocator&, const PacedAllocator&) { return true; }

 private:
  static void Spend() {
    WorkMeter* const meter = PacedScope::Current();
    if (meter != nullptr) meter->Spend(2);
  }
};

}  // namespace lull
