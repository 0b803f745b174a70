#include "bench/kernels/noise.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/os/os.h"

namespace lull {
namespace {

// user, nice, system, irq, softirq and steal of all CPUs.
double BusySeconds() {
  std::ifstream stat("/proc/stat");
  std::string name;
  stat >> name;
  double ticks = 0, value = 0;
  for (int field = 0; field < 8 && stat >> value; ++field)
    if (field != 3 && field != 4) ticks += value;  // idle, iowait
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void NoiseMeter::Restart() {
  begin_ns_ = os::MonotonicNs();
  begin_own_ns_ = os::ProcessCpuNs();
  begin_busy_s_ = BusySeconds();
}

double NoiseMeter::OtherCpus() const {
  const double wall_s = static_cast<double>(os::MonotonicNs() - begin_ns_) * 1e-9;
  const double own_s = static_cast<double>(os::ProcessCpuNs() - begin_own_ns_) * 1e-9;
  // The machine's clock ticks in 10 ms: less than one says nothing.
  return std::max(0.0, (BusySeconds() - begin_busy_s_ - own_s) / std::max(wall_s, 1e-9));
}

std::string LoadAverages() {
  std::ifstream file("/proc/loadavg");
  std::string one, five, fifteen;
  file >> one >> five >> fifteen;
  return one.empty() ? "" : one + " " + five + " " + fifteen;
}

}  // namespace lull
