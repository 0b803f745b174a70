// What a Runtime holds: one pool, one governor, one set of kernels, shared by everything computed
// under it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/cpu_claims.h"
#include "base/exec_context.h"
#include "base/os/cgroup.h"
#include "base/thread_pool.h"
#include "budget/budget_governor.h"
#include "budget/check_budget.h"
#include "budget/memory_book.h"
#include "budget/usage_meter.h"
#include "engine/fair_mutex.h"
#include "kernels/kernels.h"
#include "lull/runtime.h"

namespace lull {

struct ModelInfo;  // lull/model.h

struct Runtime::Rep {
  // threads_poll: ThreadPool's may_poll.
  Rep(const RuntimeOptions& options, int cpus, bool threads_poll, const Kernels& kernels);

  // For work that uses the pool: hold `compute` meanwhile (one job at a time).
  ExecContext Context(const std::atomic<bool>* cancelled = nullptr) {
    return {&pool, pacer(), cancelled};
  }
  // For work on the calling thread alone, paced like the rest; needs no lock.
  ExecContext SingleThreaded() { return {nullptr, pacer(), nullptr}; }
  // Also where nothing is capped: it counts, and a cap may come.
  Pacer* pacer() { return test_pacer != nullptr ? test_pacer : &governor; }

  // A model may be loaded: the budget's latency allows what its tokens cost. It counts for
  // SetBudget as long as the returned is held.
  Result<std::shared_ptr<const TokenCost>> Admit(const ModelInfo& info);
  // Every line of a budget, against the machine and the loaded models. Requires: budget_mutex held.
  Status Check(const Budget& declared);

  const RuntimeOptions options;  // its budget: as declared at start
  const int cpus;                // what 100 % means
  const Kernels& kernels;
  std::mutex budget_mutex;
  Budget budget;  // guarded by budget_mutex
  // Of it, what each step and each request of an engine asks.
  std::atomic<double> p95_latency_s;
  std::atomic<int64_t> kv_per_session_bytes;
  BudgetGovernor governor;
  std::vector<std::weak_ptr<const TokenCost>> models;  // guarded by budget_mutex; loaded ones
  UsageMeter usage;
  MemoryBook memory;
  MemoryPromise own_memory;                   // code, stacks, buffers
  std::unique_ptr<os::CpuBackstop> backstop;  // guarded by budget_mutex; null: none
  std::string backstop_note;                  // set before anything else runs
  ThreadPool pool;                            // after the governor: its threads ask it
  FairMutex compute;
  CpuClaims cpu_claims;         // of the engines: each claims what its steps cost
  Pacer* test_pacer = nullptr;  // stands in for the governor; set before anything is computed
};

}  // namespace lull
