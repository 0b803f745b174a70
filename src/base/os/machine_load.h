// What the rest of the machine is doing, and where its power comes from: as /proc and /sys tell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lull::os {

// Counters since boot; only differences mean something. -1: the system does not tell.
struct MachineLoad {
  int64_t busy_ns = -1;  // of the asked CPUs, all processes, in 10 ms ticks; stolen time left out
  int64_t waiting_ns = -1;   // time in which some runnable thread of the machine waited for a CPU
  int64_t own_wait_ns = -1;  // the same of this process's threads, summed over those alive
};

// cpus: numbers as in /proc/stat. root: where proc/ lies. Reads three kinds of small files, about
// 0.1 ms with few CPUs and threads.
// Formats: https://docs.kernel.org/filesystems/proc.html (stat),
// https://docs.kernel.org/accounting/psi.html, https://docs.kernel.org/scheduler/sched-stats.html.
MachineLoad ReadMachineLoad(const std::string& root, const std::vector<int>& cpus);

// The CPUs this process may use, by number.
std::vector<int> AvailableCpuNumbers();

// What the supplies and the platform's profile say. False where nothing is said: a machine without
// these files is neither on battery nor on mains.
struct PowerState {
  bool mains = false;      // a supply from outside is there and on line
  bool battery = false;    // a battery of the machine is discharging, and no mains is on line
  bool low_power = false;  // the platform's profile is low-power, quiet or cool
};
// Format: https://docs.kernel.org/power/power_supply_class.html and
// https://docs.kernel.org/userspace-api/sysfs-platform_profile.html.
PowerState ReadPowerState(const std::string& root);

}  // namespace lull::os
