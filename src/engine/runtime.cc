#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/os/cgroup.h"
#include "base/os/machine_load.h"
#include "base/os/os.h"
#include "base/os/process_tree.h"
#include "engine/runtime_rep.h"
#include "lull/model.h"

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

// Code, stacks, allocator and buffers beside all that grows with a model: 14 MB were measured.
constexpr int64_t kOwnBytes = int64_t{20} << 20;

// Four times the rough speed of a kernel, and more than any CPU reads from memory: whoever fails by
// this fails for certain.
CpuRoof RoofOf(const Kernels& kernels) {
  return {4.0e6 * std::max(kernels.macs_per_us, kernels.super_macs_per_us), 60e9};
}

// What a control group grants at most: 15 % above the rate, and more than the governor's own bound
// for its period of 100 ms, so that it never stops what keeps the cap. 0: no quota.
double BackstopCpus(const CpuBudget& budget, int cpus) {
  constexpr double kMargin = 1.15, kBoundMargin = 1.05, kPeriodNs = 1e8;
  const GovernorLimits limits = LimitsOf(budget, cpus);
  if (limits.rate <= 0.0) return 0.0;
  const double ahead = static_cast<double>(limits.burst_ns + cpus * limits.quantum_ns) / kPeriodNs;
  return std::max(limits.rate * kMargin, (limits.rate + ahead) * kBoundMargin);
}

void StartBackstop(const RuntimeOptions& options, Runtime::Rep* rep) {
  if (!options.backstop) return;
  Result<std::unique_ptr<os::CpuBackstop>> made =
      os::CpuBackstop::Create(BackstopCpus(options.budget.cpu, rep->cpus), options.system_root);
  if (made.ok()) {
    rep->backstop = std::move(*made);
    rep->backstop_note = "backstop: control group " + rep->backstop->group();
  } else {
    rep->backstop_note = "no backstop: " + made.status().ToString();
  }
}

// Of this process and its children; the resident size where the system does not tell.
int64_t PssBytes() {
  os::ProcessTree tree(os::ProcessId());
  tree.Refresh();
  const int64_t pss = tree.ReadPssBytes();
  return pss > 0 ? pss : os::CurrentRssBytes();
}

// What the machine's files say.
class SystemCourtesy : public CourtesySource {
 public:
  explicit SystemCourtesy(std::string root) : root_(std::move(root)) {}

  CourtesyReading Read() override {
    const os::MachineLoad load = os::ReadMachineLoad(root_, cpus_);
    return {os::MonotonicNs(), load.busy_ns, os::ProcessCpuNs(), load.waiting_ns, load.own_wait_ns};
  }
  PowerSource Power() override {
    power_ = os::ReadPowerState(root_);
    if (power_.mains) return PowerSource::kMains;
    return power_.battery ? PowerSource::kBattery : PowerSource::kUnknown;
  }
  bool SavePower() override { return power_.battery || power_.low_power; }

 private:
  const std::string root_;
  const std::vector<int> cpus_ = os::AvailableCpuNumbers();
  os::PowerState power_;
};

std::unique_ptr<CourtesySource> MakeCourtesy(const RuntimeOptions& options) {
  if (!options.courtesy) return nullptr;
  return std::make_unique<SystemCourtesy>(options.system_root);
}

}  // namespace

Runtime::Rep::Rep(const RuntimeOptions& options_in, int cpus_in, bool threads_poll,
                  const Kernels& kernels_in)
    : options(options_in),
      cpus(cpus_in),
      kernels(kernels_in),
      budget(options_in.budget),
      p95_latency_s(options_in.budget.p95_latency_s),
      kv_per_session_bytes(options_in.budget.kv_per_session_bytes),
      governor(options_in.budget, cpus_in, MakeCourtesy(options_in)),
      usage({os::MonotonicNs(), os::ProcessCpuNs(), 0}),
      memory(options_in.budget.ram_bytes),
      pool(options_in.threads, options_in.idle_priority, threads_poll) {}

Status Runtime::Rep::Check(const Budget& declared) {
  LULL_RETURN_IF_ERROR(CheckCpuBudget(declared.cpu, cpus));
  std::erase_if(models, [](const auto& model) { return model.expired(); });
  for (const auto& model : models)
    if (const auto cost = model.lock())
      LULL_RETURN_IF_ERROR(CheckLatency(declared, *cost, RoofOf(kernels), cpus));
  return Status();
}

Result<std::shared_ptr<const TokenCost>> Runtime::Rep::Admit(const ModelInfo& info) {
  const auto cost = std::make_shared<const TokenCost>(
      TokenCost{info.active_bytes_per_token, info.macs_per_token});
  std::lock_guard<std::mutex> lock(budget_mutex);
  LULL_RETURN_IF_ERROR(CheckLatency(budget, *cost, RoofOf(kernels), cpus));
  models.push_back(cost);
  return cost;
}

Result<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  const int cpus = os::AvailableCpus();
  const double quota_cpus = os::CgroupCpuQuota();
  RuntimeOptions resolved = options;
  LULL_RETURN_IF_ERROR(CheckCpuBudget(options.budget.cpu, cpus));
  LULL_ASSIGN_OR_RETURN(resolved.threads,
                        ChooseThreads(options.threads, options.budget.cpu, cpus, quota_cpus));
  LULL_ASSIGN_OR_RETURN(const Kernels* kernels, ChooseKernels(options.isa));
  const bool threads_poll =
      resolved.threads <= cpus && (quota_cpus == 0 || quota_cpus >= resolved.threads);
  auto rep = std::make_unique<Rep>(resolved, cpus, threads_poll, *kernels);
  LULL_RETURN_IF_ERROR(rep->pool.start_status());
  LULL_ASSIGN_OR_RETURN(rep->own_memory, rep->memory.Promise(MemoryPart::kOther, kOwnBytes));
  StartBackstop(resolved, rep.get());
  return std::unique_ptr<Runtime>(new Runtime(std::move(rep)));
}

Runtime::Runtime(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Runtime::~Runtime() = default;

int Runtime::threads() const { return rep_->pool.threads(); }
const char* Runtime::isa() const { return rep_->kernels.name; }

Budget Runtime::budget() const {
  std::lock_guard<std::mutex> lock(rep_->budget_mutex);
  return rep_->budget;
}

Status Runtime::SetBudget(const Budget& budget) {
  std::lock_guard<std::mutex> lock(rep_->budget_mutex);
  LULL_RETURN_IF_ERROR(rep_->Check(budget));
  LULL_RETURN_IF_ERROR(rep_->memory.SetLimit(budget.ram_bytes));
  rep_->budget = budget;
  rep_->p95_latency_s.store(budget.p95_latency_s, std::memory_order_relaxed);
  rep_->kv_per_session_bytes.store(budget.kv_per_session_bytes, std::memory_order_relaxed);
  rep_->governor.SetBudget(budget);
  // The cap holds without it.
  if (rep_->backstop != nullptr)
    (void)rep_->backstop->Set(BackstopCpus(budget.cpu, rep_->cpus)).ok();
  return Status();
}

BudgetUsage Runtime::usage() const {
  const Budget declared = budget();
  const UsageReading now = {os::MonotonicNs(), os::ProcessCpuNs(), rep_->governor.bytes_moved()};
  const UsageReading since = rep_->usage.Since(now);
  const double ns =
      static_cast<double>(std::max<int64_t>(now.monotonic_ns - since.monotonic_ns, 1));
  BudgetUsage usage;
  usage.seconds = ns * 1e-9;
  usage.cpu_share = static_cast<double>(now.cpu_ns - since.cpu_ns) / (ns * rep_->cpus);
  usage.cpu_share_allowed = rep_->governor.cpu().rate() / rep_->cpus;
  usage.bytes_per_s = static_cast<double>(now.bytes - since.bytes) / (ns * 1e-9);
  const CourtesyState courtesy = rep_->governor.courtesy();
  usage.courtesy_factor = courtesy.factor;
  usage.foreground_share = courtesy.foreground_share;
  usage.cpu_pressure = courtesy.pressure;
  usage.power = courtesy.power;
  usage.ram_bytes = PssBytes();
  if (declared.cpu.capped())
    usage.cpu_share_left = std::max(declared.cpu.mean_share - usage.cpu_share, 0.0);
  if (declared.mem_bw_bytes_per_s > 0)
    usage.bytes_per_s_left = std::max(declared.mem_bw_bytes_per_s - usage.bytes_per_s, 0.0);
  if (declared.ram_bytes > 0) usage.ram_bytes_left = declared.ram_bytes - usage.ram_bytes;
  return usage;
}

MemoryLedger Runtime::memory() const {
  MemoryLedger ledger = rep_->memory.ledger();
  ledger.pss_bytes = PssBytes();
  return ledger;
}

std::string Runtime::backstop_note() const { return rep_->backstop_note; }

CpuMeter Runtime::cpu_meter() const {
  const BudgetGovernor& governor = rep_->governor;
  return {os::ProcessCpuNs(), governor.PausedNs(), governor.cpu().stats().checkpoints,
          governor.bytes_moved()};
}

}  // namespace lull
