#include "service/dash/load_sampler.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "base/os/os.h"
#include "base/os/thread.h"

namespace lull {
namespace {

constexpr int64_t kWindowNs = 100'000'000;
constexpr int64_t kBudgetPeriodNs = 1'900'000'000;
constexpr int64_t kStayAwakeNs = 5'000'000'000;
// The kernel counts the machine's times in 10 ms.
constexpr int64_t kMachinePeriodNs = 900'000'000;

}  // namespace

double P99ShareOf(const CpuBudget& budget) {
  if (!budget.capped()) return 0.0;
  return budget.p99_share > 0 ? budget.p99_share : std::min(1.0, budget.mean_share + 0.15);
}

LoadSampler::LoadSampler(const Runtime& runtime, const ModelHub& hub)
    : runtime_(runtime), hub_(hub), history_(os::AvailableCpus()) {
  history_.Add(Read());
  machine_ = os::ReadMachineTimes();
  machine_cpu_ns_ = runtime_.cpu_meter().cpu_ns;
  start_status_ = os::StartThread(
      "load sampler", [this] { Loop(); }, &thread_);
}

LoadSampler::~LoadSampler() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

LoadReading LoadSampler::Read(int64_t* under_way) const {
  const EngineStats stats = hub_.stats();
  if (under_way != nullptr) *under_way = stats.running + stats.waiting;
  const CpuMeter meter = runtime_.cpu_meter();
  return {os::MonotonicNs(), meter.cpu_ns, meter.bytes_moved, stats.prompt_tokens,
          stats.new_tokens};
}

void LoadSampler::Wake() {
  const int64_t now = os::MonotonicNs();
  if (awake_until_ns_.load(std::memory_order_relaxed) - now > kStayAwakeNs / 2) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    awake_until_ns_.store(now + kStayAwakeNs, std::memory_order_relaxed);
  }
  changed_.notify_all();
}

LoadView LoadSampler::Watch() {
  Wake();
  const LoadReading reading = Read();
  std::unique_lock<std::mutex> lock(mutex_);
  watched_until_ns_ = reading.monotonic_ns + kStayAwakeNs;
  if (budget_read_ns_ == 0) {  // the first to watch; later the sampler's thread reads it
    lock.unlock();
    ReadBudget();
    lock.lock();
  }
  history_.Add(reading);
  ReadMachine(reading);
  LoadView view;
  view.now = history_.Now();
  view.history = history_.Points();
  view.windows = history_.windows();
  view.windows_over = history_.windows_over();
  view.usage = usage_;
  view.memory = memory_;
  view.machine_busy = machine_busy_;
  view.others_busy = others_busy_;
  return view;
}

void LoadSampler::ReadBudget() {
  const BudgetUsage usage = runtime_.usage();
  const MemoryLedger memory = runtime_.memory();
  std::lock_guard<std::mutex> lock(mutex_);
  budget_read_ns_ = os::MonotonicNs();
  usage_ = usage;
  memory_ = memory;
}

void LoadSampler::ReadMachine(const LoadReading& reading) {
  const os::MachineTimes now = os::ReadMachineTimes();
  const double total = static_cast<double>(now.total_ns - machine_.total_ns);
  if (total < static_cast<double>(kMachinePeriodNs)) return;
  const double own = static_cast<double>(reading.cpu_ns - machine_cpu_ns_) / total;
  machine_busy_ = static_cast<double>(now.busy_ns - machine_.busy_ns) / total;
  others_busy_ = std::max(machine_busy_ - own, 0.0);
  machine_ = now;
  machine_cpu_ns_ = reading.cpu_ns;
}

void LoadSampler::Loop() {
  int64_t next_ns = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    const int64_t now = os::MonotonicNs();
    if (awake_until_ns_.load(std::memory_order_relaxed) <= now) {
      changed_.wait(lock);
      continue;
    }
    if (now < next_ns) {
      changed_.wait_for(lock, std::chrono::nanoseconds(next_ns - now));
      continue;
    }
    next_ns = now + kWindowNs;
    const bool stale = now < watched_until_ns_ && now - budget_read_ns_ > kBudgetPeriodNs;
    lock.unlock();
    try {
      Sample(stale);
    } catch (const std::bad_alloc&) {  // this reading is left out
    }
    lock.lock();
  }
}

void LoadSampler::Sample(bool budget_too) {
  if (budget_too) ReadBudget();
  int64_t under_way = 0;
  const LoadReading reading = Read(&under_way);
  const double limit = P99ShareOf(runtime_.budget().cpu);
  std::lock_guard<std::mutex> lock(mutex_);
  history_.AddWindow(reading, limit);
  if (under_way > 0)
    awake_until_ns_.store(reading.monotonic_ns + kStayAwakeNs, std::memory_order_relaxed);
}

}  // namespace lull
