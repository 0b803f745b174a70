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

// The longest context, at most options.max_context_tokens, whose K and V take at most `bytes`; 0:
// not even a page of it. Windows and recurrent state are counted as they are held.
int64_t ContextWithin(const Model& model, Runtime& runtime, const RunnerOptions& options,
                      int64_t bytes);
// K and V of one request of that many tokens.
int64_t SessionKvBytes(const Model& model, Runtime& runtime, const RunnerOptions& options,
                       int64_t context_tokens);

// What was asked for by number is kept or refused (kBudgetImpossible with the sum, and the next
// number that fits); what was left open (context, pool) is cut to what kv_per_session and the RAM
// leave. kUsage as ToRunnerOptions.
Result<RunnerPlan> PlanRunner(const Model& model, Runtime& runtime, const KvRequest& request);

}  // namespace lull
