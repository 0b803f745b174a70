// Samples the server's load every 100 ms, but only while somebody watches or requests run: an idle
// server has no timer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/os/process.h"
#include "lull/engine.h"
#include "lull/runtime.h"
#include "service/dash/load_history.h"
#include "service/model_hub.h"

namespace lull {

struct LoadView {
  LoadPoint now;
  std::vector<LoadPoint> history;  // a second each, oldest first
  int64_t windows = 0;             // of the last ones watched, 100 ms each
  int64_t windows_over = 0;        // above the budget's p99 share
  BudgetUsage usage;               // at most 2 s old, like memory
  MemoryLedger memory;
  double machine_busy = 0.0;  // share of all CPUs of the machine
  double others_busy = 0.0;   // of it, by other processes
};

// What the share of 99 % of the windows must not exceed; 0: no cap.
double P99ShareOf(const CpuBudget& budget);

// Thread-safe.
class LoadSampler {
 public:
  // Both outlive the sampler.
  LoadSampler(const Runtime& runtime, const ModelHub& hub);
  ~LoadSampler();
  // An error: the system refused the thread; there are no windows then.
  const Status& start_status() const { return start_status_; }

  // A request is there. Cheap.
  void Wake();
  // Somebody watches. Takes a reading.
  LoadView Watch();

 private:
  // under_way, if any: requests running or waiting.
  LoadReading Read(int64_t* under_way = nullptr) const;
  void Loop();
  // Walks the page tables of the process: some ms for a large model. Called without the lock.
  void ReadBudget();
  void Sample(bool budget_too);
  void ReadMachine(const LoadReading& reading);

  const Runtime& runtime_;
  const ModelHub& hub_;
  std::atomic<int64_t> awake_until_ns_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  LoadHistory history_;
  int64_t watched_until_ns_ = 0;
  int64_t budget_read_ns_ = 0;  // when usage_ and memory_ were read; 0: never
  BudgetUsage usage_;
  MemoryLedger memory_;
  os::MachineTimes machine_;
  int64_t machine_cpu_ns_ = 0;  // of this process, at the reading of machine_
  double machine_busy_ = 0.0, others_busy_ = 0.0;
  Status start_status_;
  std::thread thread_;
};

}  // namespace lull
