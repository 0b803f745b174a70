// The report as a table for people.
#pragma once

#include <iosfwd>

#include "bench/budget_bench.h"
#include "bench/outcome.h"

namespace lull {

// At most 90 columns; colours only where asked for.
void PrintScorecard(const BudgetBenchReport& report, bool colors, std::ostream& out);

// The same of any other bench.
void PrintOutcome(const Outcome& outcome, bool colors, std::ostream& out);

}  // namespace lull
