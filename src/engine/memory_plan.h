// Context and KV pool of a runner, sized so that the declared budget holds them.
#pragma once

#include "budget/memory_book.h"
#include "engine/kv_options.h"
#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"
#include "model/runner.h"

namespace lull {

struct RunnerPlan {
  RunnerOptions options;
  MemoryPromise kv;
  MemoryPromise activations;  // with the logits of max_sequences rows
};

// What was asked for by number is kept or refused (kBudgetImpossible with the sum, and the next
// number that fits); what was left open (context, pool) is cut to what kv_per_session and the RAM
// leave. kUsage as ToRunnerOptions.
Result<RunnerPlan> PlanRunner(const Model& model, Runtime& runtime, const KvRequest& request);

}  // namespace lull
