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
  Budget budget{};             // nothing declared by default
  bool idle_priority = false;  // compute threads at SCHED_IDLE
  // Give way to other programs: while they use most of the CPUs or wait for one, the CPU rate falls
  // (to an eighth at most), and comes back when they are done. At most half of it on battery.
  bool courtesy = false;
  // Ask the system's control groups to hold the CPU cap too, 15 % above it; needs the right to
  // write there. Runtime::backstop_note() says what came of it.
  bool backstop = false;
  std::string system_root = "/";  // where proc/ and sys/ lie, for tests
};

// What the governor did since start.
struct CpuMeter {
  int64_t cpu_ns = 0;        // process CPU time
  int64_t throttled_ns = 0;  // thread time slept at checkpoints, summed over threads
  int64_t checkpoints = 0;   // while a cap was set
  int64_t bytes_moved = 0;   // weights and KV that the kernels read, capped or not
};

// Thread-safe.
class Runtime {
 public:
  static Result<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options);
  ~Runtime();

  int threads() const;
  const char* isa() const;
  Budget budget() const;
  // While running: CPU and bandwidth hold within 200 ms, sleepers wake within 20 ms. Refuses what
  // CheckCpuBudget does, and less RAM than is promised already; then nothing changes. The number of
  // threads stays.
  Status SetBudget(const Budget& budget);
  BudgetUsage usage() const;
  MemoryLedger memory() const;  // cost: some ms for a large process
  CpuMeter cpu_meter() const;
  // What a control group holds, or why none does; "" where it was not asked for.
  std::string backstop_note() const;

  struct Rep;  // for Lull's own modules
  Rep& rep() { return *rep_; }

 private:
  explicit Runtime(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
