// A budget changed while the server works: how soon does the new one hold?
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/os/process.h"
#include "bench/outcome.h"
#include "bench/server_info.h"
#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

struct ChangeOptions {
  ServerAddress server;  // with an admin's key: PUT /budget needs one
  std::string model = "lull";
  CpuBudget from{0.35, 0.50};
  CpuBudget to{0.10, 0.25};
  int clients = 2;
  int changes = 10;
  double settle_s = 3;  // after each change
  double at_most_s = 0.2;
  uint64_t seed = 1;
  std::function<void(int change)> progress;
};

// Changes the budget by PUT /budget and back, again and again, while clients ask. The server has
// the first budget at the end.
Result<Outcome> RunChange(const ChangeOptions& options);

// Seconds after change_ns from which on, until end_ns, every 100 ms window is at or below the
// budget's p99 and the whole rest at or below its mean (half a point more is allowed); samples are
// 10 ms apart, and the end of such a step is what counts. Nothing
// where it never holds or there are too few samples.
std::optional<double> HoldsAfterS(std::span<const os::CpuSample> samples, int64_t change_ns,
                                  int64_t end_ns, int cpus, const CpuBudget& budget);

}  // namespace lull
