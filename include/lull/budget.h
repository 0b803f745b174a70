// What is declared of a process: CPU, memory bandwidth, memory, latency, KV bytes. Percentages are
// of the CPUs the process may use.
#pragma once

#include <cstdint>
#include <string>

#include "lull/status.h"

namespace lull {

struct CpuBudget {
  double mean_share = 0.0;  // 0.35: at most 35 % on average; 0: no cap
  double p99_share = 0.0;   // 0.50: 99 % of 100 ms windows at or below; 0: mean_share + 15 points
  bool capped() const { return mean_share > 0.0; }
};

// Zero means: not declared.
struct Budget {
  CpuBudget cpu;
  double mem_bw_bytes_per_s = 0.0;   // weights and KV read from memory, averaged over 100 ms
  int64_t ram_bytes = 0;             // of the process and its children, mapped weights included
  double p95_latency_s = 0.0;        // from the arrival of a request to its last token
  int64_t kv_per_session_bytes = 0;  // K and V that one request may hold
};

// "35%", "0.35" or "" (no cap). Refuses what is not above 0 and at most 100 %.
Result<double> ParseCpuShare(const std::string& text);
// kBudgetImpossible with the arithmetic where p99 leaves no slack above the mean.
Status CheckCpuBudget(const CpuBudget& budget, int cpus);

}  // namespace lull
