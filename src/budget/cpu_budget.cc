#include <charconv>
#include <cmath>
#include <cstdio>

#include "budget/cpu_governor.h"
#include "lull/budget.h"

namespace lull {
namespace {

std::string Percent(double share) {
  char text[32];
  snprintf(text, sizeof(text), "%.4g %%", share * 100.0);
  return text;
}

std::string Ms(double ns) {
  char text[32];
  snprintf(text, sizeof(text), "%.2f ms", ns * 1e-6);
  return text;
}

}  // namespace

const char* PowerSourceName(PowerSource source) {
  switch (source) {
    case PowerSource::kMains:
      return "mains";
    case PowerSource::kBattery:
      return "battery";
    case PowerSource::kUnknown:
      break;
  }
  return "unknown";
}

Result<double> ParseCpuShare(const std::string& text) {
  if (text.empty()) return 0.0;
  const bool percent = text.back() == '%';
  const char* begin = text.data();
  const char* end = begin + text.size() - (percent ? 1 : 0);
  double value = 0.0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) {
    return Status(ErrorCode::kUsage, "not a CPU share: \"" + text.substr(0, 40) + "\"", "cpu",
                  "write a percentage such as 35% or a fraction such as 0.35");
  }
  if (percent) value /= 100.0;
  if (value > 1.0 && !percent) {
    return Status(ErrorCode::kUsage, "CPU share above 1: " + text.substr(0, 40), "cpu",
                  "for a percentage add the sign: " + text.substr(0, 40) + "%");
  }
  if (value <= 0.0 || value > 1.0) {
    return Status(ErrorCode::kUsage,
                  "CPU share must be above 0 % and at most 100 %: " + text.substr(0, 40), "cpu",
                  "100% is all CPUs the process may use");
  }
  return value;
}

Status CheckCpuBudget(const CpuBudget& budget, int cpus) {
  const auto valid = [](double share) { return share >= 0.0 && share <= 1.0; };
  if (!valid(budget.mean_share) || !valid(budget.p99_share)) {
    return Status(ErrorCode::kUsage, "a CPU share must lie between 0 % and 100 %", "cpu");
  }
  if (!budget.capped()) {
    if (budget.p99_share == 0.0) return Status::Ok();
    return Status(ErrorCode::kUsage, "a CPU p99 needs a CPU mean", "cpu_p99",
                  "declare the mean too, e.g. --cpu 35%");
  }
  if (budget.mean_share >= 1.0) return Status::Ok();  // nothing to hold back
  if (cpus < 1) return Status(ErrorCode::kUsage, "at least one CPU is needed", "cpu");

  const GovernorLimits limits = LimitsOf(budget, cpus);
  const int64_t needed = limits.burst_ns + cpus * limits.quantum_ns;
  if (needed <= limits.slack_ns) return Status::Ok();
  const double least = budget.mean_share + static_cast<double>(needed) / (cpus * 1e8);
  const double p99 = budget.p99_share > 0.0 ? budget.p99_share : 1.0;
  std::string hint = least <= 1.0
                         ? "a p99 of at least " + Percent(std::ceil(least * 1000.0) / 1000.0) +
                               " or a lower mean makes it possible"
                         : "lower the mean";
  return Status(ErrorCode::kBudgetImpossible,
                "mean " + Percent(budget.mean_share) + " with p99 " + Percent(p99) + " on " +
                    std::to_string(cpus) + " CPUs leaves (" + Percent(p99) + " - " +
                    Percent(budget.mean_share) + ") x " + std::to_string(cpus) + " x 100 ms = " +
                    Ms(static_cast<double>(limits.slack_ns)) + " of CPU time in a window, but " +
                    Ms(static_cast<double>(limits.burst_ns)) + " burst + " + std::to_string(cpus) +
                    " x " + Ms(static_cast<double>(limits.quantum_ns)) +
                    " quantum = " + Ms(static_cast<double>(needed)) + " are needed",
                "cpu_p99", std::move(hint));
}

}  // namespace lull
