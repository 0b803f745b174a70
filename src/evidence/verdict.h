// A claim, what was measured for it, and the verdict. A missing metric is never a pass.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace lull {

enum class Verdict { kPass, kFail, kUnproven };
const char* VerdictName(Verdict verdict);  // "pass", "fail", "unproven"

struct VerdictLine {
  std::string name;                // e.g. "cpu_mean"
  std::string unit;                // e.g. "%"
  std::optional<double> measured;  // absent: not measured
  double limit = 0.0;
  double tolerance = 0.0;  // measured may miss the limit by this much
  bool at_least = false;   // the limit is a floor
  Verdict verdict = Verdict::kUnproven;
  std::string reason;  // why unproven or failed; empty for a pass
};

// Pass where measured <= limit + tolerance. Unproven where there is no finite measurement or any
// doubt: a doubtful figure convicts as little as it acquits.
VerdictLine JudgeAtMost(std::string name, std::string unit, std::optional<double> measured,
                        double limit, double tolerance, const std::vector<std::string>& doubts);

// The same with a floor: pass where measured >= limit - tolerance.
VerdictLine JudgeAtLeast(std::string name, std::string unit, std::optional<double> measured,
                         double limit, double tolerance, const std::vector<std::string>& doubts);

// Fail where any line fails, else unproven where any is or there is none, else pass.
Verdict Overall(const std::vector<VerdictLine>& lines);

nlohmann::json ToJson(const VerdictLine& line);

}  // namespace lull
