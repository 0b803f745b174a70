// Giving way: the arithmetic, the files it reads, and the governor that follows it.
#include "budget/courtesy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/os/machine_load.h"
#include "budget/budget_governor.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;

// Two CPUs, of which others use a share and wait a share.
struct Machine {
  CourtesyReading reading{0, 0, 0, 0, 0};
  void Pass(int64_t ms, double others, double own, double waiting = 0.0, double own_wait = 0.0) {
    const double ns = static_cast<double>(ms * kMs);
    reading.monotonic_ns += ms * kMs;
    reading.busy_ns += static_cast<int64_t>(2 * ns * (others + own));
    reading.own_cpu_ns += static_cast<int64_t>(2 * ns * own);
    reading.waiting_ns += static_cast<int64_t>(ns * waiting);
    reading.own_wait_ns += static_cast<int64_t>(ns * own_wait);
  }
};

TEST(Courtesy, HalvesWhileOthersAreBusyAndComesBackSlowly) {
  Machine machine;
  Courtesy courtesy(2);
  EXPECT_EQ(courtesy.Update(machine.reading, false), 1.0);
  machine.Pass(250, 0.3, 0.35);
  EXPECT_EQ(courtesy.Update(machine.reading, false), 1.0);
  EXPECT_NEAR(courtesy.foreground_share(), 0.3, 1e-6);
  for (const double want : {0.5, 0.25, 0.125, 0.125}) {
    machine.Pass(250, 0.8, 0.1);
    EXPECT_EQ(courtesy.Update(machine.reading, false), want);
  }
  for (int i = 0; i < 4; ++i) {  // a second of quiet earns nothing
    machine.Pass(250, 0.0, 0.1);
    EXPECT_EQ(courtesy.Update(machine.reading, false), 0.125);
  }
  machine.Pass(250, 0.0, 0.1);
  EXPECT_NEAR(courtesy.Update(machine.reading, false), 0.150, 1e-9);
  for (int i = 0; i < 40; ++i) {
    machine.Pass(250, 0.0, 0.1);
    courtesy.Update(machine.reading, false);
  }
  EXPECT_EQ(courtesy.factor(), 1.0);
}

TEST(Courtesy, ItsOwnLoadAndItsOwnWaitingAreNotForeground) {
  Machine machine;
  Courtesy courtesy(2);
  courtesy.Update(machine.reading, false);
  for (int i = 0; i < 20; ++i) {
    machine.Pass(250, 0.02, 0.95, 0.5, 0.5);  // its idle-priority threads wait for each other
    EXPECT_EQ(courtesy.Update(machine.reading, false), 1.0);
  }
  machine.Pass(250, 0.3, 0.35, 0.10, 0.02);
  EXPECT_EQ(courtesy.Update(machine.reading, false), 0.5);
  EXPECT_NEAR(courtesy.pressure(), 0.08, 1e-6);
}

TEST(Courtesy, WhatIsUnknownIsQuiet) {
  Courtesy courtesy(2);
  CourtesyReading reading;
  for (int i = 0; i < 10; ++i) {
    reading.monotonic_ns += 250 * kMs;
    reading.own_cpu_ns += 100 * kMs;
    EXPECT_EQ(courtesy.Update(reading, false), 1.0);
  }
}

TEST(Courtesy, BatteryLimitsAndMainsGivesBack) {
  Machine machine;
  Courtesy courtesy(2);
  EXPECT_EQ(courtesy.Update(machine.reading, true), 0.5);
  machine.Pass(250, 0.9, 0.1);
  EXPECT_EQ(courtesy.Update(machine.reading, true), 0.25);
  for (int i = 0; i < 60; ++i) {
    machine.Pass(250, 0.0, 0.1);
    courtesy.Update(machine.reading, true);
  }
  EXPECT_EQ(courtesy.factor(), 0.5);
  machine.Pass(250, 0.0, 0.1);
  EXPECT_EQ(courtesy.Update(machine.reading, false), 1.0);
}

TEST(Courtesy, ClocksThatJumpAndCountersThatShrinkDoNoHarm) {
  Machine machine;
  machine.reading = {1000 * kMs, 500 * kMs, 100 * kMs, 50 * kMs, 10 * kMs};
  Courtesy courtesy(2);
  courtesy.Update(machine.reading, false);
  EXPECT_EQ(courtesy.Update({500 * kMs, 0, 0, 0, 0}, false), 1.0);  // back
  EXPECT_EQ(courtesy.Update({500 * kMs, 0, 0, 0, 0}, false), 1.0);
  machine.Pass(250, 0.1, 0.1);
  machine.reading.own_wait_ns = 0;  // the threads that waited are gone
  EXPECT_EQ(courtesy.Update(machine.reading, false), 1.0);
}

class SimClock : public GovernorClock {
 public:
  int64_t MonotonicNs() override { return now; }
  int64_t ProcessCpuNs() override { return cpu; }
  void SleepUntilNs(int64_t until) override { now = std::max(now, until); }
  int64_t now = 1000 * kMs;
  int64_t cpu = 0;
};

// Others use a share of both CPUs.
class SimSource : public CourtesySource {
 public:
  SimSource(const SimClock& clock, const double& others, const PowerSource& power, int* looks)
      : clock_(clock), others_(others), power_(power), looks_(looks) {}
  CourtesyReading Read() override {
    ++*looks_;
    busy_ns_ += static_cast<int64_t>(2.0 * others_ * static_cast<double>(clock_.now - last_ns_));
    last_ns_ = clock_.now;
    return {clock_.now, busy_ns_ + clock_.cpu, clock_.cpu, 0, 0};
  }
  PowerSource Power() override { return power_; }
  bool SavePower() override { return power_ == PowerSource::kBattery; }

 private:
  const SimClock& clock_;
  const double& others_;
  const PowerSource& power_;
  int* looks_;
  int64_t busy_ns_ = 0;
  int64_t last_ns_ = 0;
};

class CourteousGovernor : public ::testing::Test {
 protected:
  std::unique_ptr<BudgetGovernor> Make(const Budget& budget) {
    return std::make_unique<BudgetGovernor>(
        budget, 2, std::make_unique<SimSource>(clock, others, power, &looks), clock);
  }
  // CPU share of two CPUs while one or more threads have work for so long.
  double ShareOver(BudgetGovernor& governor, int64_t ms) {
    const int64_t start = clock.now, cpu = clock.cpu;
    while (clock.now < start + ms * kMs) {
      clock.now += kMs / 10;
      clock.cpu += kMs / 5;  // two threads
      governor.Checkpoint();
    }
    return static_cast<double>(clock.cpu - cpu) / static_cast<double>(2 * (clock.now - start));
  }
  SimClock clock;
  double others = 0.0;
  PowerSource power = PowerSource::kMains;
  int looks = 0;
};

TEST_F(CourteousGovernor, FollowsTheForeground) {
  const auto governor = Make({.cpu = {0.35, 0.50}});
  EXPECT_NEAR(ShareOver(*governor, 3000), 0.35, 0.01);
  others = 0.8;
  ShareOver(*governor, 1000);
  EXPECT_NEAR(ShareOver(*governor, 3000), 0.35 / 8, 0.005);
  EXPECT_EQ(governor->courtesy().factor, 0.125);
  EXPECT_NEAR(governor->courtesy().foreground_share, 0.8, 0.05);
  others = 0.1;
  ShareOver(*governor, 12'000);
  EXPECT_NEAR(ShareOver(*governor, 3000), 0.35, 0.01);
}

// One busy thread of others is no reason to give up CPU time, but it may need the bus.
TEST_F(CourteousGovernor, ABusySingleThreadGetsMostOfTheBus) {
  const auto governor = Make({.cpu = {0.35, 0.50}, .mem_bw_bytes_per_s = 8e9});
  ShareOver(*governor, 1000);
  EXPECT_EQ(governor->bus().rate(), 8e9);
  others = 0.5;  // of two CPUs
  ShareOver(*governor, 1000);
  EXPECT_EQ(governor->bus().rate(), 2e9);
  EXPECT_EQ(governor->courtesy().factor, 1.0);
  governor->SetBudget({.cpu = {0.35, 0.50}, .mem_bw_bytes_per_s = 6e9});
  EXPECT_EQ(governor->bus().rate(), 1.5e9);
  others = 0.1;
  ShareOver(*governor, 3000);
  EXPECT_EQ(governor->bus().rate(), 6e9);
  governor->SetBudget({.cpu = {0.35, 0.50}});
  EXPECT_FALSE(governor->bus().capped());
}

TEST_F(CourteousGovernor, AlsoWithoutACap) {
  const auto governor = Make({});
  EXPECT_NEAR(ShareOver(*governor, 1000), 1.0, 1e-9);
  EXPECT_FALSE(governor->capped());
  others = 0.7;
  ShareOver(*governor, 1000);
  EXPECT_TRUE(governor->capped());
  EXPECT_NEAR(ShareOver(*governor, 2000), 0.125, 0.01);
  others = 0.0;
  ShareOver(*governor, 12'000);
  EXPECT_FALSE(governor->capped());
}

TEST_F(CourteousGovernor, ABudgetSetMeanwhileIsScaledToo) {
  const auto governor = Make({.cpu = {0.35, 0.50}});
  others = 0.8;
  ShareOver(*governor, 2000);
  governor->SetBudget({.cpu = {0.20, 0.50}});
  EXPECT_NEAR(ShareOver(*governor, 2000), 0.025, 0.003);
}

TEST_F(CourteousGovernor, OnBatteryHalf) {
  power = PowerSource::kBattery;
  const auto governor = Make({.cpu = {0.35, 0.50}});
  EXPECT_NEAR(ShareOver(*governor, 2000), 0.175, 0.01);
  EXPECT_EQ(governor->courtesy().power, PowerSource::kBattery);
  power = PowerSource::kMains;
  ShareOver(*governor, 6000);
  EXPECT_NEAR(ShareOver(*governor, 2000), 0.35, 0.01);
}

TEST_F(CourteousGovernor, LooksFourTimesASecondAndNeverWhenIdle) {
  const auto governor = Make({.cpu = {0.35, 0.50}});
  ShareOver(*governor, 10'000);
  EXPECT_NEAR(looks, 40, 2);
  clock.now += 600'000 * kMs;
  ShareOver(*governor, 100);
  EXPECT_NEAR(looks, 41, 2);
}

// Files of a machine, under a folder of their own.
class MachineFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "machine_" +
            ::testing::UnitTest::GetInstance()->current_test_info()->name() + "/";
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + name).parent_path());
    std::ofstream(root_ + name) << text;
  }
  std::string root_;
};

TEST_F(MachineFiles, LoadOfTheAskedCpus) {
  Write("proc/stat",
        "cpu  999 999 999 999 999 999 999 999 0 0\n"
        "cpu0 10 1 2 500 7 3 4 90 0 0\ncpu1 20 0 0 500 0 0 0 0 0 0\n"
        "cpu2 1000 0 0 0 0 0 0 0 0 0\nintr 5\n");
  Write("proc/pressure/cpu",
        "some avg10=1.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=9\n");
  Write("proc/self/task/7/schedstat", "5000 300 4\n");
  Write("proc/self/task/8/schedstat", "5000 20 4\n");
  const os::MachineLoad load = os::ReadMachineLoad(root_, {0, 1});
  EXPECT_EQ(load.busy_ns, 40 * 10 * kMs);
  EXPECT_EQ(load.waiting_ns, 1'234'000);
  EXPECT_EQ(load.own_wait_ns, 320);
}

TEST_F(MachineFiles, AbsentOrStrangeIsUnknown) {
  os::MachineLoad load = os::ReadMachineLoad(root_, {0});
  EXPECT_EQ(load.busy_ns, -1);
  EXPECT_EQ(load.waiting_ns, -1);
  EXPECT_EQ(load.own_wait_ns, -1);
  Write("proc/stat", "cpu what\n");
  Write("proc/pressure/cpu", "nothing\n");
  Write("proc/self/task/7/schedstat", "\n");
  load = os::ReadMachineLoad(root_, {0});
  EXPECT_EQ(load.busy_ns, -1);
  EXPECT_EQ(load.waiting_ns, -1);
  EXPECT_EQ(load.own_wait_ns, -1);
}

TEST_F(MachineFiles, PowerSupplies) {
  os::PowerState power = os::ReadPowerState(root_);
  EXPECT_FALSE(power.mains || power.battery || power.low_power);  // absent is not mains
  Write("sys/class/power_supply/BAT0/type", "Battery\n");
  Write("sys/class/power_supply/BAT0/status", "Discharging\n");
  EXPECT_TRUE(os::ReadPowerState(root_).battery);
  Write("sys/class/power_supply/AC/type", "Mains\n");
  Write("sys/class/power_supply/AC/online", "1\n");
  power = os::ReadPowerState(root_);
  EXPECT_TRUE(power.mains);
  EXPECT_FALSE(power.battery);
  Write("sys/class/power_supply/AC/online", "0\n");
  Write("sys/class/power_supply/BAT0/scope", "Device\n");  // a mouse
  power = os::ReadPowerState(root_);
  EXPECT_FALSE(power.mains || power.battery);
  Write("sys/firmware/acpi/platform_profile", "low-power\n");
  EXPECT_TRUE(os::ReadPowerState(root_).low_power);
}

TEST(Machine, TellsSomethingHere) {
  const std::vector<int> cpus = os::AvailableCpuNumbers();
  EXPECT_FALSE(cpus.empty());
  const os::MachineLoad load = os::ReadMachineLoad("/", cpus);
  EXPECT_GE(load.busy_ns, -1);
  EXPECT_GE(load.own_wait_ns, -1);
}

}  // namespace
}  // namespace lull
