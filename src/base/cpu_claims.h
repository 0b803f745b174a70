// Who pays for the CPU time of the process: each nanosecond is claimed once, by whoever asks next.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/os/os.h"

namespace lull {

// Thread-safe.
class CpuClaims {
 public:
  // Between the two the CPU time of the process is the caller's, or of others who work meanwhile:
  // not that of an idle process.
  void BeginWork() { working_.fetch_add(1, std::memory_order_relaxed); }
  void EndWork() { working_.fetch_sub(1, std::memory_order_relaxed); }
  bool working() const { return working_.load(std::memory_order_relaxed) > 0; }

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
  std::atomic<int> working_{0};
  std::atomic<int64_t> claimed_ns_{os::ProcessCpuNs()};
};

}  // namespace lull
