#include "evidence/verdict.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace lull {

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "fail";
    case Verdict::kUnproven:
      return "unproven";
  }
  return "unproven";
}

namespace {

VerdictLine Judge(VerdictLine line, double limit, double tolerance, std::optional<double> measured,
                  const std::vector<std::string>& doubts) {
  line.limit = limit;
  line.tolerance = tolerance;
  if (measured.has_value() && std::isfinite(*measured)) line.measured = measured;
  for (const std::string& doubt : doubts) {
    if (!line.reason.empty()) line.reason += "; ";
    line.reason += doubt;
  }
  if (!line.measured.has_value()) {
    if (line.reason.empty()) line.reason = "not measured";
    return line;
  }
  if (!line.reason.empty()) return line;
  const double miss = line.at_least ? line.limit - *line.measured : *line.measured - line.limit;
  const bool pass = miss <= line.tolerance;
  line.verdict = pass ? Verdict::kPass : Verdict::kFail;
  if (!pass) {
    char text[64];
    snprintf(text, sizeof(text), "%.4g %s the limit", miss, line.at_least ? "below" : "above");
    line.reason = text;
  }
  return line;
}

}  // namespace

VerdictLine JudgeAtMost(std::string name, std::string unit, std::optional<double> measured,
                        double limit, double tolerance, const std::vector<std::string>& doubts) {
  VerdictLine line;
  line.name = std::move(name);
  line.unit = std::move(unit);
  return Judge(std::move(line), limit, tolerance, measured, doubts);
}

VerdictLine JudgeAtLeast(std::string name, std::string unit, std::optional<double> measured,
                         double limit, double tolerance, const std::vector<std::string>& doubts) {
  VerdictLine line;
  line.name = std::move(name);
  line.unit = std::move(unit);
  line.at_least = true;
  return Judge(std::move(line), limit, tolerance, measured, doubts);
}

Verdict Overall(const std::vector<VerdictLine>& lines) {
  Verdict overall = lines.empty() ? Verdict::kUnproven : Verdict::kPass;
  for (const VerdictLine& line : lines) {
    if (line.verdict == Verdict::kFail) return Verdict::kFail;
    if (line.verdict == Verdict::kUnproven) overall = Verdict::kUnproven;
  }
  return overall;
}

nlohmann::json ToJson(const VerdictLine& line) {
  nlohmann::json json = {{"name", line.name},
                         {"unit", line.unit},
                         {"limit", line.limit},
                         {"tolerance", line.tolerance},
                         {"verdict", VerdictName(line.verdict)}};
  json["measured"] = line.measured.has_value() ? nlohmann::json(*line.measured) : nullptr;
  if (line.at_least) json["at_least"] = true;
  if (!line.reason.empty()) json["reason"] = line.reason;
  return json;
}

}  // namespace lull
