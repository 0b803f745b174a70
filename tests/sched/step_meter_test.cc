#include "sched/step_meter.h"

#include <gtest/gtest.h>

#include "base/os/os.h"

namespace lull {
namespace {

void BurnMs(int64_t ms) {
  const int64_t until = os::ProcessCpuNs() + ms * 1'000'000;
  while (os::ProcessCpuNs() < until) {
  }
}

// What the process did while nobody was at work is paid by the next request up to 100 ms.
TEST(StepMeter, IdleTimeIsNobodys) {
  CpuClaims claims;
  StepMeter meter({}, &claims);
  BurnMs(250);
  meter.Begin(true);
  EXPECT_GE(meter.idle_cpu_ms(), 145.0);
  const double idle_ms = meter.idle_cpu_ms();
  EXPECT_GE(meter.End().cpu_ms, 99.0);
  meter.Leave();
  EXPECT_EQ(meter.idle_cpu_ms(), idle_ms);
}

// A second engine that wakes, or is made, while the first one works does not take its time for
// idle; and all of it is counted once.
TEST(StepMeter, AnothersWorkIsNotIdleTime) {
  CpuClaims claims;
  StepMeter first({}, &claims), second({}, &claims);
  const int64_t begin_ns = os::ProcessCpuNs();
  const double begin_idle_ms = first.idle_cpu_ms() + second.idle_cpu_ms();
  first.Begin(true);
  BurnMs(150);
  const StepMeter third({}, &claims);
  second.Begin(true);
  BurnMs(20);
  const double second_ms = second.End().cpu_ms;
  second.Leave();
  BurnMs(150);
  const double first_ms = first.End().cpu_ms;
  first.Leave();
  const double used_ms = static_cast<double>(os::ProcessCpuNs() - begin_ns) * 1e-6;
  EXPECT_LT(second.idle_cpu_ms() + third.idle_cpu_ms(), 1.0);
  EXPECT_NEAR(first_ms + second_ms + first.idle_cpu_ms() - begin_idle_ms, used_ms, 1.0);
  EXPECT_FALSE(claims.working());
}

}  // namespace
}  // namespace lull
