// Who pays for the CPU time of the process: each nanosecond is claimed once, by whoever asks next.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/os/os.h"

namespace lull {

// Thread-safe.
class CpuClaims {
 public:
  // Process CPU time since the last claim (or since construction), of all threads.
  int64_t ClaimNs() {
    const int64_t now = os::ProcessCpuNs();
    int64_t before = claimed_ns_.load(std::memory_order_relaxed);
    do {
      if (now <= before) return 0;
    } while (!claimed_ns_.compare_exchange_weak(before, now, std::memory_order_relaxed));
    return now - before;
  }

 private:
  std::atomic<int64_t> claimed_ns_{os::ProcessCpuNs()};
};

}  // namespace lull
