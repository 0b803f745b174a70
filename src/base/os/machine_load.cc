#include "base/os/machine_load.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace lull::os {
namespace {

// "cpu3 user nice system idle iowait irq softirq steal ...", in ticks.
int64_t BusyNs(const std::string& root, const std::vector<int>& cpus) {
  std::ifstream file(root + "proc/stat");
  const int64_t tick_ns = 1'000'000'000 / std::max(sysconf(_SC_CLK_TCK), 1L);
  int64_t ticks = 0;
  bool found = false;
  for (std::string line; std::getline(file, line) && line.starts_with("cpu");) {
    int cpu = 0;
    long long f[7] = {};
    const int fields = sscanf(line.c_str(), "cpu%d %lld %lld %lld %lld %lld %lld %lld", &cpu, &f[0],
                              &f[1], &f[2], &f[3], &f[4], &f[5], &f[6]);
    if (fields != 8 || std::find(cpus.begin(), cpus.end(), cpu) == cpus.end()) continue;
    found = true;
    ticks += f[0] + f[1] + f[2] + f[5] + f[6];
  }
  return found ? ticks * tick_ns : -1;
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=123", in microseconds.
int64_t WaitingNs(const std::string& root) {
  std::ifstream file(root + "proc/pressure/cpu");
  std::string line;
  std::getline(file, line);
  const size_t at = line.find("total=");
  long long us = 0;
  if (!line.starts_with("some") || at == std::string::npos) return -1;
  return sscanf(line.c_str() + at, "total=%lld", &us) == 1 ? us * 1000 : -1;
}

// Of each thread "time-on-cpu time-waiting timeslices", in nanoseconds.
int64_t OwnWaitNs(const std::string& root) {
  const std::string folder = root + "proc/self/task";
  DIR* tasks = opendir(folder.c_str());
  if (tasks == nullptr) return -1;
  int64_t sum = 0;
  bool found = false;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(folder + "/" + entry->d_name + "/schedstat");
    int64_t on_cpu = 0, waiting = 0;
    if (!(file >> on_cpu >> waiting)) continue;
    found = true;
    sum += waiting;
  }
  closedir(tasks);
  return found ? sum : -1;
}

std::string Word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

}  // namespace

MachineLoad ReadMachineLoad(const std::string& root, const std::vector<int>& cpus) {
  return {BusyNs(root, cpus), WaitingNs(root), OwnWaitNs(root)};
}

std::vector<int> AvailableCpuNumbers() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  return cpus;
}

PowerState ReadPowerState(const std::string& root) {
  PowerState state;
  bool discharging = false;
  const std::string folder = root + "sys/class/power_supply";
  DIR* supplies = opendir(folder.c_str());
  while (const dirent* entry = supplies == nullptr ? nullptr : readdir(supplies)) {
    if (entry->d_name[0] == '.') continue;
    const std::string supply = folder + "/" + entry->d_name + "/";
    const std::string type = Word(supply + "type");
    if (type == "Battery") {
      // A mouse's battery has the scope "Device".
      const bool own = Word(supply + "scope") != "Device";
      discharging |= own && Word(supply + "status") == "Discharging";
    } else if (type == "Mains" || type == "USB" || type == "UPS") {
      state.mains |= Word(supply + "online") == "1";
    }
  }
  if (supplies != nullptr) closedir(supplies);
  state.battery = discharging && !state.mains;
  const std::string profile = Word(root + "sys/firmware/acpi/platform_profile");
  state.low_power = profile == "low-power" || profile == "quiet" || profile == "cool";
  return state;
}

}  // namespace lull::os
