#include "bench/outcome.h"

#include <algorithm>
#include <cstdio>

namespace lull {

void Conclude(Outcome* outcome) {
  outcome->overall = Overall(outcome->verdicts);
  outcome->record["verdicts"] = nlohmann::json::array();
  for (const VerdictLine& line : outcome->verdicts)
    outcome->record["verdicts"].push_back(ToJson(line));
  outcome->record["overall"] = VerdictName(outcome->overall);
}

std::vector<std::string> StealDoubts(int64_t steal_ns, int64_t total_ns) {
  if (total_ns <= 0) return {"steal unknown"};
  const double steal = static_cast<double>(steal_ns) / static_cast<double>(total_ns);
  if (steal <= 0.05) return {};
  char text[64];
  snprintf(text, sizeof(text), "steal %.1f %% is above 5 %%", steal * 100);
  return {text};
}

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

}  // namespace lull
