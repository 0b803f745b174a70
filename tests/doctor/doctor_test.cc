// Each finding on a made-up machine, good and bad.
#include "doctor/doctor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace lull {
namespace {

namespace fs = std::filesystem;

class DoctorTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("doctor_" + std::to_string(getpid()));
    fs::remove_all(root_);
    facts_.root = root_.string() + "/";
    facts_.available_cpus = 2;
    facts_.simd = {"avx", "avx2"};
    facts_.unix_s = 1'800'000'000;
    Write("sys/devices/system/cpu/online", "0-3");
    Write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
    Write("proc/pressure/cpu", "some avg10=0.00");
    Write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    Write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB");
  }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  Finding Of(const std::string& name) const {
    for (const Finding& finding : ExamineMachine(facts_))
      if (finding.name == name) return finding;
    ADD_FAILURE() << "no finding " << name;
    return {};
  }
  void ExpectFix(const std::string& name, const std::string& says) const {
    const Finding finding = Of(name);
    EXPECT_FALSE(finding.ok) << name;
    EXPECT_NE((finding.message + finding.fix).find(says), std::string::npos)
        << finding.message << " / " << finding.fix;
    EXPECT_FALSE(finding.fix.empty());
  }

  fs::path root_;
  MachineFacts facts_;
};

TEST_F(DoctorTest, AGoodMachineNeedsNothing) {
  for (const Finding& finding : ExamineMachine(facts_)) {
    EXPECT_TRUE(finding.ok) << finding.name << ": " << finding.message;
    EXPECT_TRUE(finding.fix.empty()) << finding.name;
    EXPECT_FALSE(finding.message.empty()) << finding.name;
  }
  EXPECT_NE(Of("control groups").message.find("version 2"), std::string::npos);
  EXPECT_NE(Of("CPUs").message.find("0-3"), std::string::npos);
}

TEST_F(DoctorTest, AnEmptyRootIsNoCrash) {
  fs::remove_all(root_);
  EXPECT_EQ(ExamineMachine(facts_).size(), 8u);
  ExpectFix("pressure (PSI)", "psi=1");
  EXPECT_TRUE(Of("memory").ok);
}

TEST_F(DoctorTest, QuotaBelowTheCpus) {
  Write("proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
  Write("proc/self/cgroup", "0::/");
  Write("sys/fs/cgroup/cpu.max", "35000 100000");
  ExpectFix("control groups", "0.35");
  Write("sys/fs/cgroup/cpu.max", "200000 100000");
  EXPECT_TRUE(Of("control groups").ok);
}

TEST_F(DoctorTest, WhatEachFindingSees) {
  Write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
  ExpectFix("huge pages", "tee /sys/kernel/mm");
  facts_.simd = {"sse4_2", "avx"};
  ExpectFix("instruction sets", "AVX2");
  facts_.unix_s = 1000;
  ExpectFix("clock", "set-ntp");
  facts_.model_bytes = int64_t{4} << 30;
  ExpectFix("memory", "needed");
  facts_.model_bytes = int64_t{1} << 30;
  EXPECT_TRUE(Of("memory").ok);
}

TEST_F(DoctorTest, PowersaveIsSlowOnlyWhereTheDriverObeysIt) {
  const std::string folder = "sys/devices/system/cpu/cpu0/cpufreq/";
  Write(folder + "scaling_governor", "powersave");
  Write(folder + "scaling_driver", "acpi-cpufreq");
  ExpectFix("frequency", "schedutil");
  Write(folder + "scaling_driver", "intel_pstate");
  EXPECT_TRUE(Of("frequency").ok);
}

TEST(Pip, IsNewFrom25_3On) {
  EXPECT_TRUE(JudgePip("pip 25.3 from /x (python 3.11)").ok);
  EXPECT_TRUE(JudgePip("pip 26.0.1 from /x").ok);
  EXPECT_FALSE(JudgePip("pip 25.2 from /x").ok);
  EXPECT_FALSE(JudgePip("pip 23.2.1 from /x").ok);
  EXPECT_FALSE(JudgePip("").ok);
}

TEST_F(DoctorTest, ModelFolder) {
  const std::string folder = (root_ / "models").string();
  EXPECT_TRUE(ExamineStore(folder + "/not/yet").ok);
  fs::create_directories(folder);
  EXPECT_TRUE(ExamineStore(folder).ok);
  EXPECT_TRUE(fs::is_empty(folder));
  fs::permissions(folder, fs::perms::others_write, fs::perm_options::add);
  const Finding open = ExamineStore(folder);
  EXPECT_FALSE(open.ok);
  EXPECT_NE(open.fix.find("chmod o-w"), std::string::npos);
  fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  if (geteuid() != 0) {
    EXPECT_FALSE(ExamineStore(folder).ok);  // root may write everywhere
  }
  fs::permissions(folder, fs::perms::owner_all);
}

}  // namespace
}  // namespace lull
