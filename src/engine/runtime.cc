#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/os/cgroup.h"
#include "base/os/os.h"
#include "engine/runtime_rep.h"

namespace lull {
namespace {

constexpr int kMaxThreads = 1024;

Result<const Kernels*> ChooseKernels(const std::string& isa) {
  if (isa.empty()) return &BestKernels();
  Result<const Kernels*> found = FindKernels(isa.c_str());
  if (found.ok()) return found;
  Error error = found.error();
  error.code = ErrorCode::kUsage;
  if (error.where.empty()) error.where = "isa";
  if (error.hint.empty()) error.hint = "leave it out for the best one here";
  return error;
}

// Under a cap no more threads than the cap can keep busy: what waits at a barrier costs CPU time
// and gives nothing.
int DefaultThreads(const CpuBudget& budget, int cpus) {
  if (!budget.capped()) return cpus;
  return std::clamp(static_cast<int>(std::ceil(budget.mean_share * cpus)), 1, cpus);
}

// Never more than a control group's quota can keep busy, whatever was asked for: where it is used
// up, all threads stop until the next period, in the middle of whatever they were at.
Result<int> ChooseThreads(int threads, const CpuBudget& budget, int cpus, double quota_cpus) {
  const int most = quota_cpus > 0 && quota_cpus < kMaxThreads
                       ? static_cast<int>(std::ceil(quota_cpus))
                       : kMaxThreads;
  if (threads >= 0 && threads <= kMaxThreads)
    return std::min(most, threads == 0 ? DefaultThreads(budget, cpus) : threads);
  return Error{ErrorCode::kUsage, "threads is " + std::to_string(threads), "threads",
               "give a count from 1 to " + std::to_string(kMaxThreads) +
                   ", or 0 for the CPUs the process may use"};
}

}  // namespace

Runtime::Rep::Rep(const RuntimeOptions& options_in, int cpus, bool threads_poll,
                  const Kernels& kernels_in)
    : options(options_in),
      kernels(kernels_in),
      governor(options_in.cpu, cpus),
      pool(options_in.threads, options_in.idle_priority, threads_poll) {}

Result<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  const int cpus = os::AvailableCpus();
  const double quota_cpus = os::CgroupCpuQuota();
  RuntimeOptions resolved = options;
  LULL_RETURN_IF_ERROR(CheckCpuBudget(options.cpu, cpus));
  LULL_ASSIGN_OR_RETURN(resolved.threads,
                        ChooseThreads(options.threads, options.cpu, cpus, quota_cpus));
  LULL_ASSIGN_OR_RETURN(const Kernels* kernels, ChooseKernels(options.isa));
  const bool threads_poll =
      resolved.threads <= cpus && (quota_cpus == 0 || quota_cpus >= resolved.threads);
  auto rep = std::make_unique<Rep>(resolved, cpus, threads_poll, *kernels);
  LULL_RETURN_IF_ERROR(rep->pool.start_status());
  return std::unique_ptr<Runtime>(new Runtime(std::move(rep)));
}

Runtime::Runtime(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Runtime::~Runtime() = default;

int Runtime::threads() const { return rep_->pool.threads(); }
const char* Runtime::isa() const { return rep_->kernels.name; }
const CpuBudget& Runtime::cpu_budget() const { return rep_->options.cpu; }

CpuMeter Runtime::cpu_meter() const {
  const GovernorStats stats = rep_->governor.stats();
  return {os::ProcessCpuNs(), stats.throttled_ns, stats.checkpoints};
}

}  // namespace lull
