// Rates from counters that are read now and then: no timer runs, a reading is taken when somebody
// asks.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

namespace lull {

struct UsageReading {
  int64_t monotonic_ns = 0;
  int64_t cpu_ns = 0;
  int64_t bytes = 0;
};

// Thread-safe.
class UsageMeter {
 public:
  explicit UsageMeter(const UsageReading& start) : readings_{start} {}

  // The reading that `now` is to be compared with: about a second old where there is one, else the
  // youngest that is older.
  UsageReading Since(const UsageReading& now);

 private:
  std::mutex mutex_;
  std::deque<UsageReading> readings_;  // oldest first, 0.1 s apart or more
};

}  // namespace lull
