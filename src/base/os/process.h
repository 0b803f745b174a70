// What the kernel tells about other processes and the machine. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull::os {

Result<int64_t> PeakRssBytesOf(int pid);  // VmHWM
Result<int> CpusOf(int pid);              // its affinity mask
// The process that listens on this TCP port of this machine. Needs the right to read its
// /proc/PID/fd: the same user or root.
Result<int> PidListeningOn(int port);

// Sums over all CPUs since boot, in the kernel's 10 ms ticks. Zeros where unknown.
struct MachineTimes {
  int64_t total_ns = 0;
  int64_t busy_ns = 0;   // neither idle nor waiting for I/O, stolen time included
  int64_t steal_ns = 0;  // taken by the hypervisor
};
MachineTimes ReadMachineTimes();

struct CpuSample {
  int64_t monotonic_ns = 0;
  int64_t cpu_ns = 0;  // CPU time of the sampled process so far
};

struct SamplerOptions {
  int64_t period_ns = 10'000'000;
  size_t max_samples = 0;
  // Between readings of the memory, by a second process, whose share of time stays below a
  // fiftieth; 0: never.
  int64_t memory_period_ns = 0;
};

// Samples the CPU clocks of a process and its descendants at absolute ticks from a process of its
// own, so that neither the sampled process nor the caller's threads disturb it or are disturbed; it
// takes a real-time priority where the system grants one. The kernel accounts a thread that runs
// without a system call at its scheduler tick (1 to 4 ms).
class CpuSampler {
 public:
  // Samples until Stop(), the end of the process, or max_samples.
  static Result<std::unique_ptr<CpuSampler>> Start(int pid, const SamplerOptions& options);
  ~CpuSampler();
  CpuSampler(const CpuSampler&) = delete;
  CpuSampler& operator=(const CpuSampler&) = delete;

  void Stop();
  std::vector<CpuSample> samples() const;
  // True once the sampled process is gone.
  bool target_gone() const;
  // The highest of the readings so far, shared pages counted in shares; 0: none could be made.
  int64_t peak_pss_bytes() const;
  // The process that samples: a test stops it to plant a gap.
  int process_id() const { return child_; }

 private:
  struct Shared;
  CpuSampler() = default;
  static void SampleCpu(int pid, int64_t period_ns, Shared* shared);
  static void SampleMemory(int pid, int64_t period_ns, Shared* shared);
  Shared* shared_ = nullptr;
  size_t mapped_bytes_ = 0;
  int child_ = -1;
  int memory_child_ = -1;
};

}  // namespace lull::os
