// A declared CPU budget. Percentages are of the CPUs the process may use.
#pragma once

#include <string>

#include "lull/status.h"

namespace lull {

struct CpuBudget {
  double mean_share = 0.0;  // 0.35: at most 35 % on average; 0: no cap
  double p99_share = 0.0;   // 0.50: 99 % of 100 ms windows at or below; 0: mean_share + 15 points
  bool capped() const { return mean_share > 0.0; }
};

// "35%", "0.35" or "" (no cap). Refuses what is not above 0 and at most 100 %.
Result<double> ParseCpuShare(const std::string& text);
// kBudgetImpossible with the arithmetic where p99 leaves no slack above the mean.
Status CheckCpuBudget(const CpuBudget& budget, int cpus);

}  // namespace lull
