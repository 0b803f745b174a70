#include "base/os/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace lull::os {
namespace {

struct Mount {
  bool v2 = false;
  std::string root;   // the group that the mount shows at its top
  std::string point;  // where
};

bool HasWord(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

// mountinfo: ID PARENT MAJ:MIN ROOT POINT OPTIONS... - TYPE SOURCE SUPER_OPTIONS
std::vector<Mount> CpuMounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string skip, group, point, type, source, options;
    left >> skip >> skip >> skip >> group >> point;
    right >> type >> source >> options;
    const bool v2 = type == "cgroup2";
    if (point.empty() || point.front() != '/') continue;
    if (v2 || (type == "cgroup" && HasWord(options, "cpu"))) mounts.push_back({v2, group, point});
  }
  return mounts;
}

// The group of this process in that hierarchy: "0::/a/b", or "4:cpu,cpuacct:/a/b" for version 1.
std::string GroupOf(const std::string& root, bool v2) {
  std::ifstream file(root + "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : HasWord(controllers, "cpu")) return line.substr(second + 1);
  }
  return "/";
}

// "35000 100000", or "max 100000" for no limit.
double QuotaV2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double QuotaV1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"),
      period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period
                                                                                 : 0;
}

// The group's path below the mount's point. False where the mount shows other groups: one of
// another container, or this process's own is above what its namespace sees ("/../x").
bool PathInMount(const std::string& group, const std::string& mount_root, std::string* path) {
  if (group.find("/..") != std::string::npos) return false;
  const std::string top = mount_root == "/" ? "" : mount_root;
  if (group.compare(0, top.size(), top) != 0) return false;
  *path = group.substr(top.size());
  return path->empty() || path->front() == '/';
}

// Into a file that is there already: the kernel's files are not created by writing.
bool WriteTo(const std::string& path, const std::string& text) {
  if (access(path.c_str(), W_OK) != 0) return false;
  std::ofstream file(path);
  return static_cast<bool>(file << text << std::flush);
}

// Whether the group holds this process and no other.
bool AloneIn(const std::string& folder) {
  std::ifstream file(folder + "/cgroup.procs");
  long pid = 0, count = 0;
  bool here = false;
  for (; file >> pid; ++count) here |= pid == getpid();
  return here && count == 1;
}

constexpr int64_t kPeriodUs = 100'000;
constexpr int64_t kLeastQuotaUs = 1'000;  // the kernel refuses less

bool WriteQuota(bool v2, const std::string& folder, double cpus) {
  const auto us = std::max(kLeastQuotaUs, static_cast<int64_t>(cpus * kPeriodUs));
  const std::string period = std::to_string(kPeriodUs);
  if (v2)
    return WriteTo(folder + "/cpu.max", (cpus > 0 ? std::to_string(us) : "max") + " " + period);
  return WriteTo(folder + "/cpu.cfs_period_us", period) &&
         WriteTo(folder + "/cpu.cfs_quota_us", cpus > 0 ? std::to_string(us) : "-1");
}

}  // namespace

double CgroupCpuQuota(const std::string& root) {
  double tightest = 0;
  for (const Mount& mount : CpuMounts(root)) {
    std::string group;
    if (!PathInMount(GroupOf(root, mount.v2), mount.root, &group)) continue;
    for (;; group.erase(group.rfind('/'))) {
      const std::string folder = root + mount.point.substr(1) + (group == "/" ? "" : group);
      const double quota = mount.v2 ? QuotaV2(folder) : QuotaV1(folder);
      if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
      if (group.rfind('/') == std::string::npos) break;
    }
  }
  return tightest;
}

Result<std::unique_ptr<CpuBackstop>> CpuBackstop::Create(double cpus, const std::string& root) {
  std::string tried;
  for (const Mount& mount : CpuMounts(root)) {
    std::string group;
    if (!PathInMount(GroupOf(root, mount.v2), mount.root, &group)) continue;
    const std::string own = root + mount.point.substr(1) + (group == "/" ? "" : group);
    tried += (tried.empty() ? "" : ", ") + own;
    if (AloneIn(own) && WriteQuota(mount.v2, own, cpus))
      return std::unique_ptr<CpuBackstop>(new CpuBackstop(mount.v2, own));
    std::unique_ptr<CpuBackstop> below(
        new CpuBackstop(mount.v2, own + "/lull-" + std::to_string(getpid())));
    if (below->Enter(own) && WriteQuota(mount.v2, below->folder_, cpus)) return below;
  }
  return Status(ErrorCode::kIo, "no control group of this process may be given a CPU quota",
                tried.empty() ? "cgroup" : tried,
                "run it as a service with Delegate=yes, or as root; the cap holds without it");
}

// Version 2 gives a group the CPU's files once the one around it hands them on, which it can when
// no process is left in it.
bool CpuBackstop::Enter(const std::string& parent) {
  if (mkdir(folder_.c_str(), 0755) != 0) return false;
  parent_ = parent;
  if (!WriteTo(folder_ + "/cgroup.procs", std::to_string(getpid()))) return false;
  if (v2_ && access((folder_ + "/cpu.max").c_str(), W_OK) != 0)
    return WriteTo(parent + "/cgroup.subtree_control", "+cpu");
  return true;
}

CpuBackstop::~CpuBackstop() {
  if (parent_.empty()) {
    if (access(folder_.c_str(), F_OK) == 0 && AloneIn(folder_)) WriteQuota(v2_, folder_, 0.0);
    return;
  }
  if (v2_) WriteTo(parent_ + "/cgroup.subtree_control", "-cpu");
  WriteTo(parent_ + "/cgroup.procs", std::to_string(getpid()));
  rmdir(folder_.c_str());
}

Status CpuBackstop::Set(double cpus) {
  if (WriteQuota(v2_, folder_, cpus)) return Status();
  return {ErrorCode::kIo, "the control group's CPU quota cannot be changed", folder_};
}

}  // namespace lull::os
