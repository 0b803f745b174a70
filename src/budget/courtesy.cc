#include "budget/courtesy.h"

#include <algorithm>

namespace lull {
namespace {

// Of two counters, the growth; 0 where one is unknown. Threads that ended took their time with
// them.
double Growth(int64_t before, int64_t after) {
  return before < 0 || after < 0 ? 0.0 : static_cast<double>(std::max<int64_t>(after - before, 0));
}

}  // namespace

void Courtesy::Measure(const CourtesyReading& now) {
  const double wall = static_cast<double>(now.monotonic_ns - last_.monotonic_ns);
  const double others =
      Growth(last_.busy_ns, now.busy_ns) - Growth(last_.own_cpu_ns, now.own_cpu_ns);
  const double waited =
      Growth(last_.waiting_ns, now.waiting_ns) - Growth(last_.own_wait_ns, now.own_wait_ns);
  foreground_ = std::clamp(others / (wall * cpus_), 0.0, 1.0);
  pressure_ = std::clamp(waited / wall, 0.0, 1.0);
}

double Courtesy::Update(const CourtesyReading& now, bool save_power) {
  const double ceiling = save_power ? kBatteryCeiling : 1.0;
  const int64_t wall_ns = now.monotonic_ns - last_.monotonic_ns;
  if (has_last_ && wall_ns > 0) {
    Measure(now);
    if (foreground_ > kBusyForeground || pressure_ > kBusyPressure) {
      earned_ = std::max(kFloor, std::min(earned_, ceiling) / 2.0);
      busy_at_ns_ = now.monotonic_ns;
      ever_busy_ = true;
    } else if (!ever_busy_ || now.monotonic_ns - busy_at_ns_ > kClearNs) {
      earned_ = std::min(1.0, earned_ + kRecoveryPerS * static_cast<double>(wall_ns) * 1e-9);
    }
  }
  if (has_last_ && wall_ns > 0) {
    if (foreground_ * cpus_ > kBusyBusCpus) {
      bus_factor_ = kBusShare;
      bus_busy_at_ns_ = now.monotonic_ns;
    } else if (now.monotonic_ns - bus_busy_at_ns_ > kClearNs) {
      bus_factor_ = 1.0;
    }
  }
  if (!has_last_ || wall_ns > 0) last_ = now;
  has_last_ = true;
  return factor_ = std::min(earned_, ceiling);
}

}  // namespace lull
