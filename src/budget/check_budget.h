// Whether a declared budget can be kept with a model at all: the arithmetic, and what would do.
#pragma once

#include <cstdint>

#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

// What one token of a model costs.
struct TokenCost {
  int64_t weight_bytes = 0;  // read
  int64_t macs = 0;
};

// More than one CPU of this machine does: what is refused by it is impossible for certain.
struct CpuRoof {
  double macs_per_s = 0.0;
  double bytes_per_s = 0.0;
};

// The smallest request is one prompt token and one new one: one forward pass. kBudgetImpossible
// where the CPU's mean rate, or mem_bw, cannot compute it within p95. where: "p95" or "mem_bw".
// Requires: cpus >= 1; what is CheckCpuBudget's is checked there.
Status CheckLatency(const Budget& budget, const TokenCost& cost, const CpuRoof& roof, int cpus);

}  // namespace lull
