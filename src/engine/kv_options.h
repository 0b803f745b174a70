// Options that Decoder and Engine share, checked and turned into the runner's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"
#include "model/runner.h"

namespace lull {

struct KvRequest {
  std::string kv_type;
  std::string activation_type = "q8_0";
  int64_t max_context_tokens = 0;  // 0: default_context_tokens
  int64_t default_context_tokens = 0;
  int64_t kv_pool_tokens = 0;  // 0: default_contexts of them
  int64_t default_contexts = 1;
  int64_t prefix_cache_tokens = 0;  // 0: none
  int max_sequences = 1;
  int max_batch_rows = 512;
  int64_t logits_rows = 0;  // that the caller keeps beside the runner
  int64_t spare_bytes = 0;  // of RAM not to be used up by a pool that was left open
};

// That KvRequest::kv_type takes.
std::vector<std::string> KvTypeNames();

// kUsage naming the option. The pool is rounded up to whole pages; a pool smaller than the context
// shortens the context.
Result<RunnerOptions> ToRunnerOptions(const ModelInfo& info, const KvRequest& request);

struct RunnerPlan;  // engine/memory_plan.h

// A runner whose forward passes hold the runtime's lock: pool and kernels serve one at a time. It
// keeps the plan's promises. Model and runtime outlive it.
Result<std::unique_ptr<Runner>> MakeSharedRunner(const Model& model, Runtime& runtime,
                                                 RunnerPlan plan);

}  // namespace lull
