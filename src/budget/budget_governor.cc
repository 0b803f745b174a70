#include "budget/budget_governor.h"

#include <algorithm>
#include <utility>

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
// The machine's meters count ticks of 10 ms: shorter spans would tell nothing. Only who computes
// looks: an idle process has no timer.
constexpr int64_t kLookNs = 250 * kMs;
constexpr int64_t kPowerNs = 5'000 * kMs;

// The budget at a share of its rate. The slack between mean and p99 stays, so what was possible
// stays possible.
CpuBudget Scaled(const CpuBudget& declared, double factor) {
  if (factor >= 1.0) return declared;
  const double mean = declared.capped() ? declared.mean_share : 1.0;
  CpuBudget scaled;
  scaled.mean_share = mean * factor;
  if (declared.p99_share > 0.0)
    scaled.p99_share = scaled.mean_share + std::max(declared.p99_share - mean, 0.0);
  return scaled;
}

}  // namespace

BudgetGovernor::BudgetGovernor(const Budget& budget, int cpus,
                               std::unique_ptr<CourtesySource> courtesy, GovernorClock& clock)
    : clock_(clock),
      cpu_(budget.cpu, cpus, clock),
      bus_(0.0),
      source_(std::move(courtesy)),
      courtesy_(cpus) {
  SetBudget(budget);
}

BudgetGovernor::~BudgetGovernor() = default;

int64_t BudgetGovernor::Poll(CpuGovernor::ThreadState& thread) {
  const int64_t cpu_wake = cpu_.Poll(thread);
  if (!bus_.capped()) return cpu_wake;
  return std::max(cpu_wake, bus_.Poll(clock_.MonotonicNs(), bytes_moved()));
}

void BudgetGovernor::Checkpoint() {
  if (source_ != nullptr) LookAround();
  if (!capped()) return;
  static thread_local CpuGovernor::ThreadState thread;
  while (const int64_t wake = Poll(thread)) {
    const int64_t from = clock_.MonotonicNs();
    clock_.SleepUntilNs(wake);
    // At each waking, so that a long pause is seen to be one.
    throttled_ns_.fetch_add(clock_.MonotonicNs() - from, std::memory_order_relaxed);
  }
}

void BudgetGovernor::LookAround() {
  const int64_t now = clock_.MonotonicNs();
  int64_t look_at = look_at_ns_.load(std::memory_order_relaxed);
  // A clock that jumped back must not blind it.
  if (now < look_at && look_at - now <= kLookNs) return;
  if (!look_at_ns_.compare_exchange_strong(look_at, now + kLookNs)) return;
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // nobody waits for the look of another
  if (now >= power_at_ns_) {
    power_ = source_->Power();
    save_power_ = source_->SavePower();
    power_at_ns_ = now + kPowerNs;
  }
  const double before = courtesy_.factor(), bus_before = courtesy_.bus_factor();
  const double factor = courtesy_.Update(source_->Read(), save_power_);
  if (factor != before || courtesy_.bus_factor() != bus_before) Apply();
}

// Requires: mutex_ held.
void BudgetGovernor::Apply() {
  cpu_.SetBudget(Scaled(declared_, courtesy_.factor()));
  const double bus_rate = declared_bus_bytes_per_s_ * courtesy_.bus_factor();
  if (bus_rate != bus_.rate()) bus_.SetRate(bus_rate, clock_.MonotonicNs(), bytes_moved());
}

void BudgetGovernor::SetBudget(const Budget& budget) {
  std::lock_guard<std::mutex> lock(mutex_);
  declared_ = budget.cpu;
  declared_bus_bytes_per_s_ = budget.mem_bw_bytes_per_s;
  Apply();
}

CourtesyState BudgetGovernor::courtesy() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {courtesy_.factor(), courtesy_.foreground_share(), courtesy_.pressure(), power_};
}

}  // namespace lull
