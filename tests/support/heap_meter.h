// Counts the bytes that operator new holds. Linking a use of it replaces the global operators of
// that test binary.
#pragma once

#include <cstdint>

namespace lull {

// Peak of live bytes since construction, above what was live then. All threads count.
// One meter at a time.
class HeapMeter {
 public:
  HeapMeter();
  int64_t PeakBytes() const;

 private:
  int64_t start_bytes_;
};

// Failing allocations: those of threads that have called LetAllocationsFail count down from `number`
// (0: the next one), and the one that finds zero throws std::bad_alloc. Negative: none.
void LetAllocationsFail();
void FailAllocation(int64_t number);
bool AllocationHasFailed();  // since FailAllocation

}  // namespace lull
