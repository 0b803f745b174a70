#include "base/os/cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace lull::os {
namespace {

namespace fs = std::filesystem;

// A machine's proc and sys, as far as they tell of groups.
class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "cgroup_" + std::to_string(getpid()) + "/";
  }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void V2() {
    Write("proc/self/mountinfo",
          "24 1 0:21 / /proc rw - proc proc rw\n"
          "32 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    Write("proc/self/cgroup", "0::/user.slice/job.scope\n");
  }
  std::string root_;
};

TEST_F(CgroupTest, NoGroupsNoQuota) {
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
  V2();
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
  Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
}

TEST_F(CgroupTest, Version2) {
  V2();
  Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "35000 100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.35);
}

TEST_F(CgroupTest, TheTightestAroundCounts) {
  V2();
  Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "400000 100000\n");
  Write("sys/fs/cgroup/user.slice/cpu.max", "25000 50000\n");
  Write("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.5);
}

TEST_F(CgroupTest, Version1BesideAnEmptyVersion2) {
  Write("proc/self/mountinfo",
        "33 32 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "34 32 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "35 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  Write("proc/self/cgroup", "5:cpuset:/other\n4:cpu,cpuacct:/a/b\n0::/\n");
  Write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
  Write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 1.5);
}

TEST_F(CgroupTest, AContainersGroupIsTheTopOfItsMount) {
  Write("proc/self/mountinfo",
        "33 32 0:28 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  Write("proc/self/cgroup", "4:cpu:/docker/abc\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 2);
}

TEST_F(CgroupTest, OtherGroupsQuotasAreNotOurs) {
  V2();
  Write("sys/fs/cgroup/cpu.max", "10000 100000\n");
  Write("sys/fs/cgroup/x/cpu.max", "10000 100000\n");
  Write("proc/self/mountinfo", "32 23 0:27 /pods/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  for (const char* group : {"/user.slice", "/pods/ab", "/../other", "/pods/a/../x"}) {
    Write("proc/self/cgroup", std::string("0::") + group + "\n");
    EXPECT_EQ(CgroupCpuQuota(root_), 0) << group;
  }
  Write("proc/self/cgroup", "0::/pods/a/x\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.1);
}

TEST_F(CgroupTest, ShortLinesAreSkipped) {
  V2();
  Write("proc/self/mountinfo", "32 23\n - cgroup2\n32 23 0:27 - cgroup2 cgroup2 rw\nx - \n");
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
}

TEST_F(CgroupTest, NonsenseIsNoQuota) {
  V2();
  for (const char* text : {"", "x y", "-5 100000", "35000 0", "35000"}) {
    Write("sys/fs/cgroup/user.slice/job.scope/cpu.max", text);
    EXPECT_EQ(CgroupCpuQuota(root_), 0) << text;
  }
}

std::string ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

TEST_F(CgroupTest, BackstopOnTheGroupWhereTheProcessIsAlone) {
  V2();
  const std::string group = "sys/fs/cgroup/user.slice/job.scope/";
  Write(group + "cpu.max", "max 100000         \n");
  Write(group + "cgroup.procs", std::to_string(getpid()) + "\n");
  {
    const auto backstop = CpuBackstop::Create(0.8, root_);
    ASSERT_TRUE(backstop.ok()) << backstop.status().ToString();
    EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.8);
    EXPECT_TRUE((*backstop)->Set(0.25).ok());
    EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.25);
    EXPECT_TRUE((*backstop)->Set(0.0001).ok());  // as little as the kernel takes
    EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.01);
  }
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
}

TEST_F(CgroupTest, NoBackstopOnAGroupOfOthers) {
  V2();
  const std::string group = "sys/fs/cgroup/user.slice/job.scope/";
  Write(group + "cpu.max", "max 100000\n");
  Write(group + "cgroup.procs", std::to_string(getpid()) + "\n1\n");
  const auto backstop = CpuBackstop::Create(0.8, root_);
  ASSERT_FALSE(backstop.ok());
  EXPECT_EQ(backstop.error().code, ErrorCode::kIo);
  EXPECT_NE(backstop.error().where.find("job.scope"), std::string::npos);
  EXPECT_EQ(ReadLine(root_ + group + "cpu.max"), "max 100000");
  EXPECT_EQ(fs::exists(root_ + group + "lull-" + std::to_string(getpid())), false);
}

TEST_F(CgroupTest, NoGroupsNoBackstop) {
  const auto backstop = CpuBackstop::Create(0.8, root_);
  ASSERT_FALSE(backstop.ok());
  EXPECT_FALSE(backstop.error().hint.empty());
}

TEST(Backstop, HoldsHereWhereItMay) {
  const double before = CgroupCpuQuota();
  {
    const auto backstop = CpuBackstop::Create(0.5);
    if (!backstop.ok()) GTEST_SKIP() << backstop.status().ToString();
    EXPECT_DOUBLE_EQ(CgroupCpuQuota(), 0.5);
    EXPECT_TRUE((*backstop)->Set(0.0).ok());
    EXPECT_DOUBLE_EQ(CgroupCpuQuota(), before);
  }
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(), before);
}

}  // namespace
}  // namespace lull::os
