#include "tests/support/heap_meter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> peak_bytes{0};

std::atomic<int64_t> until_failure{-1};
thread_local bool may_fail = false;

bool Fails() {
  return may_fail && until_failure.load() >= 0 && until_failure.fetch_sub(1) == 0;
}

void* Count(void* block) {
  if (block == nullptr) return nullptr;
  const int64_t live = live_bytes += static_cast<int64_t>(malloc_usable_size(block));
  int64_t peak = peak_bytes.load();
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return block;
}

void Uncount(void* block) {
  if (block != nullptr) live_bytes -= static_cast<int64_t>(malloc_usable_size(block));
  free(block);
}

}  // namespace

void* operator new(size_t bytes) {
  if (Fails()) throw std::bad_alloc();
  void* block = Count(malloc(bytes == 0 ? 1 : bytes));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return Count(malloc(bytes == 0 ? 1 : bytes)); }
void operator delete(void* block) noexcept { Uncount(block); }
void operator delete(void* block, size_t) noexcept { Uncount(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { Uncount(block); }
void* operator new[](size_t bytes) { return operator new(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t& tag) noexcept { return operator new(bytes, tag); }
void operator delete[](void* block) noexcept { Uncount(block); }
void operator delete[](void* block, size_t) noexcept { Uncount(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { Uncount(block); }

namespace lull {

void LetAllocationsFail() { may_fail = true; }
void FailAllocation(int64_t number) { until_failure = number; }
bool AllocationHasFailed() { return until_failure.load() < 0; }

HeapMeter::HeapMeter() : start_bytes_(live_bytes.load()) { peak_bytes = start_bytes_; }
int64_t HeapMeter::PeakBytes() const { return peak_bytes.load() - start_bytes_; }

}  // namespace lull
