// How much of its CPU rate the process takes while others need the machine: halved when they do, a
// tenth more each second once they are done. And how much of its bus rate: a quarter, as soon as others
// keep half a CPU at work. Arithmetic alone; BudgetGovernor asks it.
#pragma once

#include <cstdint>

#include "lull/budget.h"

namespace lull {

// Counters since some moment; -1: unknown.
struct CourtesyReading {
  int64_t monotonic_ns = 0;
  int64_t busy_ns = -1;      // of the CPUs this process may use, all processes
  int64_t own_cpu_ns = -1;   // of it, this process
  int64_t waiting_ns = -1;   // in which some thread of the machine waited for a CPU
  int64_t own_wait_ns = -1;  // in which threads of this process did
};

// Not thread-safe.
class Courtesy {
 public:
  static constexpr double kFloor = 0.125;             // of the rate
  static constexpr double kBatteryCeiling = 0.5;      // on battery, or with a low-power profile
  static constexpr double kBusyForeground = 0.60;     // of the CPUs, used by others
  static constexpr double kBusyPressure = 0.05;       // of the time, others waited
  static constexpr double kBusyBusCpus = 0.5;         // one thread of others may fill the bus
  static constexpr double kBusShare = 0.25;           // of the bus rate, meanwhile
  static constexpr double kRecoveryPerS = 0.10;       // of the rate
  static constexpr int64_t kClearNs = 1'000'000'000;  // of quiet before it recovers

  explicit Courtesy(int cpus) : cpus_(cpus) {}

  // Takes a reading and returns the factor. Two readings at least; what is unknown is taken as
  // quiet.
  double Update(const CourtesyReading& now, bool save_power);

  double factor() const { return factor_; }
  double bus_factor() const { return bus_factor_; }
  double foreground_share() const { return foreground_; }
  double pressure() const { return pressure_; }

 private:
  void Measure(const CourtesyReading& now);

  const int cpus_;
  CourtesyReading last_;
  bool has_last_ = false;
  int64_t busy_at_ns_ = 0;  // when others were last seen busy
  bool ever_busy_ = false;
  int64_t bus_busy_at_ns_ = 0;
  double earned_ = 1.0;  // the factor, but for the ceiling
  double factor_ = 1.0;
  double bus_factor_ = 1.0;
  double foreground_ = 0.0;
  double pressure_ = 0.0;
};

}  // namespace lull
