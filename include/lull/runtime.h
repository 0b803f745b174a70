// Threads, instruction set and budget: what every computation of this process runs under.
// A program that needs the time between checkpoints short whatever a template does also calls
// mallopt(M_MXFAST, 0) at its start, as lull does: else glibc joins small freed blocks thousands at
// a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

struct RuntimeOptions {
  // 0: the CPUs the process may use, or what the CPU budget can keep busy. Never more than the
  // process's control groups leave time for (a quota of 0.35 CPUs: one thread).
  int threads = 0;
  std::string isa{};           // "", scalar, avx2, avx2vnni, avx512, amx; "": the best here
  CpuBudget cpu{};             // no cap by default
  bool idle_priority = false;  // compute threads at SCHED_IDLE
};

// What the governor did since start.
struct CpuMeter {
  int64_t cpu_ns = 0;        // process CPU time
  int64_t throttled_ns = 0;  // thread time slept at checkpoints, summed over threads
  int64_t checkpoints = 0;
};

// Thread-safe.
class Runtime {
 public:
  static Result<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options);
  ~Runtime();

  int threads() const;
  const char* isa() const;
  const CpuBudget& cpu_budget() const;
  CpuMeter cpu_meter() const;

  struct Rep;  // for Lull's own modules
  Rep& rep() { return *rep_; }

 private:
  explicit Runtime(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
