#include "sched/step_meter.h"

#include <algorithm>
#include <utility>

#include "base/os/os.h"
#include "base/thread_pool.h"

namespace lull {
namespace {

double Ms(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

}  // namespace

StepMeter::StepMeter(const ExecContext& ctx, CpuClaims* claims)
    : ctx_(ctx), claims_(claims != nullptr ? *claims : own_) {
  // What came before is not of any request; others at work will claim theirs.
  if (!claims_.working()) idle_cpu_ms_ = Ms(claims_.ClaimNs());
}

void StepMeter::Begin(bool after_idle) {
  begin_ns_ = os::MonotonicNs();
  begin_paused_ns_ = ctx_.PausedNs();
  const bool others_work = claims_.working();
  claims_.BeginWork();
  if (!after_idle || others_work) return;
  carried_cpu_ms_ += Ms(claims_.ClaimNs());
  idle_cpu_ms_ += std::max(0.0, carried_cpu_ms_ - kMostIdleCpuMs);
  carried_cpu_ms_ = std::min(carried_cpu_ms_, kMostIdleCpuMs);
}

StepCost StepMeter::End() {
  // Where one thread sleeps the others soon wait for it, so they all sleep about the same time.
  const int threads = ctx_.pool != nullptr ? ctx_.pool->threads() : 1;
  const int64_t wall_ns = os::MonotonicNs() - begin_ns_;
  const int64_t paused_ns = (ctx_.PausedNs() - begin_paused_ns_) / threads;
  StepCost cost;
  cost.cpu_ms = std::exchange(carried_cpu_ms_, 0.0) + Ms(claims_.ClaimNs());
  cost.wall_s = static_cast<double>(wall_ns) * 1e-9;
  cost.throttled_ms = Ms(std::clamp<int64_t>(paused_ns, 0, wall_ns));
  return cost;
}

}  // namespace lull
