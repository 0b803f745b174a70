// CPU limits that the system sets on groups of processes (Linux control groups, versions 1 and 2).
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "lull/status.h"

namespace lull::os {

// The CPUs' worth of time that this process may use per period, by the tightest quota of its group
// and the groups around it: 0.35 for cpu.max "35000 100000". 0 where there is none or it cannot be
// read. root: where proc/ and sys/ lie, for tests.
// Format: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and
// https://docs.kernel.org/scheduler/sched-bwc.html (cpu.cfs_quota_us).
double CgroupCpuQuota(const std::string& root = "/");

// A quota that this process puts on itself, where it may: on its control group, if it is alone
// there, or on one of its own below it. The system then stops all its threads wherever they are for
// the rest of each 100 ms, so this is for the case that everything else has failed. Not
// thread-safe.
class CpuBackstop {
 public:
  // kIo with what was tried where no group may be written. cpus: as of Set.
  static Result<std::unique_ptr<CpuBackstop>> Create(double cpus, const std::string& root = "/");
  ~CpuBackstop();  // lifts the quota, and removes the group where it was made
  CpuBackstop(const CpuBackstop&) = delete;
  CpuBackstop& operator=(const CpuBackstop&) = delete;

  Status Set(double cpus);  // 0.35: 35 ms of CPU time in 100 ms; 0: no quota
  const std::string& group() const { return folder_; }

 private:
  CpuBackstop(bool v2, std::string folder) : v2_(v2), folder_(std::move(folder)) {}
  bool Enter(const std::string& parent);

  const bool v2_;
  const std::string folder_;  // of the group
  std::string parent_;        // to go back to; "": the group is not ours
};

}  // namespace lull::os
