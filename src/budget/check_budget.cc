#include "budget/check_budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

namespace lull {
namespace {

std::string Text(const char* format, double value) {
  char text[64];
  snprintf(text, sizeof(text), format, value);
  return text;
}

std::string Milliseconds(double seconds) { return Text("%.3g ms", seconds * 1e3); }

// As --p95 reads it, rounded up to two digits.
std::string DurationUp(double seconds) {
  const double ms = seconds * 1e3;
  const double unit = std::pow(10.0, std::floor(std::log10(ms)) - 1.0);
  return Text("%.10gms", std::ceil(ms / unit) * unit);
}

}  // namespace

Status CheckLatency(const Budget& budget, const TokenCost& cost, const CpuRoof& roof, int cpus) {
  if (budget.p95_latency_s <= 0.0) return Status();
  const double bytes = static_cast<double>(cost.weight_bytes);
  const double macs = static_cast<double>(cost.macs);
  const double cpu_s = std::max(macs / roof.macs_per_s, bytes / roof.bytes_per_s);
  const double rate = cpus * (budget.cpu.capped() ? budget.cpu.mean_share : 1.0);
  const double wall_s = cpu_s / rate;
  if (wall_s > budget.p95_latency_s) {
    const double least_share = cpu_s / budget.p95_latency_s / cpus;
    const std::string share =
        least_share <= 1.0 && budget.cpu.capped()
            ? ", or a CPU mean of " + Text("%.3g%%", std::ceil(least_share * 1000.0) / 10.0)
            : "";
    return {ErrorCode::kBudgetImpossible,
            "one token takes " + Text("%.4g", macs * 1e-6) + " million multiply-accumulates and " +
                Text("%.4g MB", bytes * 1e-6) + " of weights: at least " + Milliseconds(cpu_s) +
                " of CPU time, at " + Text("%.3g CPUs", rate) + " " + Milliseconds(wall_s) +
                ", more than the p95 of " + Milliseconds(budget.p95_latency_s),
            "p95", "a p95 of " + DurationUp(wall_s) + share + " is possible"};
  }
  if (budget.mem_bw_bytes_per_s <= 0.0) return Status();
  const double bus_s = bytes / budget.mem_bw_bytes_per_s;
  if (bus_s <= budget.p95_latency_s) return Status();
  const double least_mb_s = std::ceil(bytes / budget.p95_latency_s * 1e-6);
  return {ErrorCode::kBudgetImpossible,
          "one token reads " + Text("%.4g MB", bytes * 1e-6) + " of weights: at " +
              Text("%.4g MB/s", budget.mem_bw_bytes_per_s * 1e-6) + " " + Milliseconds(bus_s) +
              ", more than the p95 of " + Milliseconds(budget.p95_latency_s),
          "mem_bw",
          Text("%.0fMB/s", least_mb_s) + ", or a p95 of " + DurationUp(bus_s) + ", is possible"};
}

}  // namespace lull
