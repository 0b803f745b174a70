// What a bench found: a record, figures for people, and a verdict for each claim.
#pragma once

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "evidence/verdict.h"

namespace lull {

struct Outcome {
  std::string title;
  nlohmann::json record;                                     // "kind", figures
  std::vector<std::pair<std::string, std::string>> figures;  // name, text
  std::vector<VerdictLine> verdicts;
  Verdict overall = Verdict::kUnproven;
};

// Sums the verdicts up and puts them into the record.
void Conclude(Outcome* outcome);

// Steal of the whole machine between two readings, as doubts of what was measured meanwhile.
std::vector<std::string> StealDoubts(int64_t steal_ns, int64_t total_ns);

double MedianOf(std::vector<double> values);  // 0 of none

}  // namespace lull
