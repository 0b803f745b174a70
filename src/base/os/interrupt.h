// Ctrl-C as a flag: for work that cleans up before it ends.
#pragma once

#include <atomic>

namespace lull::os {

// While one exists, the first SIGINT, SIGTERM or SIGHUP sets the flag and no more; a second one
// ends the process as it would have without. One at a time.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  const std::atomic<bool>* flag() const;  // as ExecContext::cancelled
  bool raised() const { return flag()->load(std::memory_order_relaxed); }
};

}  // namespace lull::os
