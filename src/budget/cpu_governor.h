// Keeps the process inside a CPU budget: a token bucket (GCRA) on CPU time, asked at every tile.
// Bound for every window w: usage <= rate * w + burst + threads * quantum (docs/design/budget.md).
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/exec_context.h"
#include "lull/budget.h"

namespace lull {

// Time and CPU meters, injected so that tests simulate them.
class GovernorClock {
 public:
  virtual ~GovernorClock() = default;
  virtual int64_t MonotonicNs() = 0;
  virtual int64_t ThreadCpuNs() = 0;    // of the calling thread
  virtual int64_t ProcessCpuNs() = 0;
  virtual void SleepUntilNs(int64_t monotonic_ns) = 0;
  static GovernorClock& System();
};

struct GovernorStats {
  int64_t throttled_ns = 0;   // slept, summed over threads
  int64_t checkpoints = 0;
  int64_t charged_cpu_ns = 0;
};

class CpuGovernor : public Pacer {
 public:
  // cpus: what 100 % means. An uncapped budget gives a governor that never sleeps.
  CpuGovernor(const CpuBudget& budget, int cpus, GovernorClock& clock = GovernorClock::System());
  ~CpuGovernor() override;

  void Checkpoint() override;
  bool capped() const override;
  void SetBudget(const CpuBudget& budget);   // while running
  GovernorStats stats() const;
  int64_t burst_ns() const;
  double rate() const;                       // CPU-seconds per second

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
