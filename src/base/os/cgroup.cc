#include "base/os/cgroup.h"

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

}  // namespace lull::os
