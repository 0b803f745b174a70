// The report as a table for people.
#pragma once

#include <iosfwd>

#include "bench/budget_bench.h"

namespace lull {

// At most 90 columns; colours only where asked for.
void PrintScorecard(const BudgetBenchReport& report, bool colors, std::ostream& out);

}  // namespace lull
