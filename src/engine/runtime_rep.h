// What a Runtime holds: one pool, one governor, one set of kernels, shared by everything computed
// under it.
#pragma once

#include <atomic>
#include <memory>

#include "base/cpu_claims.h"
#include "base/exec_context.h"
#include "base/thread_pool.h"
#include "budget/cpu_governor.h"
#include "engine/fair_mutex.h"
#include "kernels/kernels.h"
#include "lull/runtime.h"

namespace lull {

struct Runtime::Rep {
  // threads_poll: ThreadPool's may_poll.
  Rep(const RuntimeOptions& options, int cpus, bool threads_poll, const Kernels& kernels);

  // For work that uses the pool: hold `compute` meanwhile (one job at a time).
  ExecContext Context(const std::atomic<bool>* cancelled = nullptr) {
    return {&pool, pacer(), cancelled};
  }
  // For work on the calling thread alone, paced like the rest; needs no lock.
  ExecContext SingleThreaded() { return {nullptr, pacer(), nullptr}; }
  Pacer* pacer() {
    if (test_pacer != nullptr) return test_pacer;
    return options.cpu.capped() ? &governor : nullptr;
  }

  const RuntimeOptions options;
  const Kernels& kernels;
  CpuGovernor governor;
  ThreadPool pool;  // after the governor: its threads ask it
  FairMutex compute;
  CpuClaims cpu_claims;         // of the engines: each claims what its steps cost
  Pacer* test_pacer = nullptr;  // stands in for the governor; set before anything is computed
};

}  // namespace lull
