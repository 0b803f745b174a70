// CPU limits that the system sets on groups of processes (Linux control groups, versions 1 and 2).
#pragma once

#include <string>

namespace lull::os {

// The CPUs' worth of time that this process may use per period, by the tightest quota of its group
// and the groups around it: 0.35 for cpu.max "35000 100000". 0 where there is none or it cannot be
// read. root: where proc/ and sys/ lie, for tests.
// Format: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and
// https://docs.kernel.org/scheduler/sched-bwc.html (cpu.cfs_quota_us).
double CgroupCpuQuota(const std::string& root = "/");

}  // namespace lull::os
