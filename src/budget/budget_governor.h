// The pacer of a runtime: CPU time and bytes, each by its own bucket. A thread sleeps until both
// let it go on. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/exec_context.h"
#include "budget/bus_governor.h"
#include "budget/courtesy.h"
#include "budget/cpu_governor.h"
#include "lull/budget.h"

namespace lull {

// Where courtesy looks, injected so that tests play it.
class CourtesySource {
 public:
  virtual ~CourtesySource() = default;
  virtual CourtesyReading Read() = 0;  // on a compute thread: takes well below 1 ms
  virtual PowerSource Power() = 0;
  virtual bool SavePower() = 0;  // on battery, or the system's profile asks for it
};

struct CourtesyState {
  double factor = 1.0;
  double foreground_share = 0.0;
  double pressure = 0.0;
  PowerSource power = PowerSource::kUnknown;
};

// Thread-safe.
class BudgetGovernor : public Pacer {
 public:
  // cpus: what 100 % means. courtesy: null for none. Without a cap and courtesy a checkpoint costs
  // three loads.
  BudgetGovernor(const Budget& budget, int cpus, std::unique_ptr<CourtesySource> courtesy = nullptr,
                 GovernorClock& clock = GovernorClock::System());
  ~BudgetGovernor() override;

  void Checkpoint() override;
  bool capped() const override { return cpu_.capped() || bus_.capped(); }
  int64_t PausedNs() const override { return throttled_ns_.load(std::memory_order_relaxed); }
  // While running; sleepers notice within 20 ms.
  void SetBudget(const Budget& budget);
  CourtesyState courtesy() const;
  const CpuGovernor& cpu() const { return cpu_; }
  const BusGovernor& bus() const { return bus_; }

 private:
  int64_t Poll(CpuGovernor::ThreadState& thread);
  void LookAround();
  void Apply();

  GovernorClock& clock_;
  CpuGovernor cpu_;
  BusGovernor bus_;
  std::atomic<int64_t> throttled_ns_{0};

  const std::unique_ptr<CourtesySource> source_;
  std::atomic<int64_t> look_at_ns_{0};  // when the next checkpoint looks around
  mutable std::mutex mutex_;
  CpuBudget declared_;  // guarded by mutex_, as all below
  double declared_bus_bytes_per_s_ = 0.0;
  Courtesy courtesy_;
  PowerSource power_ = PowerSource::kUnknown;
  bool save_power_ = false;
  int64_t power_at_ns_ = 0;  // when the supplies are to be read again
};

}  // namespace lull
