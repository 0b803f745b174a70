// Keeps the process inside a CPU budget: a token bucket (GCRA) on CPU time, asked at every tile.
// Bound for every window w: usage <= rate * w + burst + threads * quantum (docs/design/budget.md).
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "lull/budget.h"

namespace lull {

// Time and CPU meter, injected so that tests simulate them.
class GovernorClock {
 public:
  virtual ~GovernorClock() = default;
  virtual int64_t MonotonicNs() = 0;
  virtual int64_t ProcessCpuNs() = 0;  // of all threads, the calling one exactly
  virtual void SleepUntilNs(int64_t monotonic_ns) = 0;
  static GovernorClock& System();
};

struct GovernorStats {
  int64_t checkpoints = 0;  // calls while capped; up to one skip interval late per thread
  int64_t charged_cpu_ns = 0;
};

// What the bucket is made of. 0 rate: uncapped.
struct GovernorLimits {
  double rate = 0.0;       // CPU-seconds per second
  int64_t burst_ns = 0;    // CPU time ahead of the rate at which the gate closes
  int64_t slice_ns = 0;    // a closed gate opens this much below the burst
  int64_t quantum_ns = 0;  // CPU time a thread may spend between two looks at the bucket
  int64_t slack_ns = 0;    // (p99 - mean) * cpus * 100 ms; burst + threads * quantum fits in it
};
// The one place that turns a declared budget into limits. Requires: cpus >= 1.
GovernorLimits LimitsOf(const CpuBudget& budget, int cpus);

class CpuGovernor {
 public:
  // What the governor remembers of one thread.
  struct ThreadState {
    uint64_t governor_id = 0;
    uint64_t budget = 0;  // rate and burst as of the last look
    int threads = 0;      // that ask, as of the last look
    int64_t last_look_ns = 0;
    int64_t next_look_ns = 0;
    int64_t skipped = 0;
  };

  // cpus: what 100 % means. An uncapped budget gives a governor that never sleeps.
  CpuGovernor(const CpuBudget& budget, int cpus, GovernorClock& clock = GovernorClock::System());
  ~CpuGovernor();

  // One look at the bucket, without sleeping: 0 to go on, else the time to sleep until and ask
  // again. BudgetGovernor::Checkpoint() is this in a loop.
  int64_t Poll(ThreadState& thread);
  bool capped() const;
  // While running; sleepers notice within 20 ms. A debt keeps its CPU time across the change.
  void SetBudget(const CpuBudget& budget);
  GovernorStats stats() const;
  int64_t burst_ns() const;
  double rate() const;  // CPU-seconds per second; cpus where uncapped

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
