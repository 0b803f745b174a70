// The declared K and V of a session, held at each request: it may change while the engine runs.
#pragma once

#include <cstdint>
#include <mutex>

#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"
#include "model/runner.h"

namespace lull {

// Thread-safe. Model and runtime outlive it.
class SessionLimit {
 public:
  // options: of the runner, whose context is the most in any case.
  SessionLimit(const Model& model, Runtime& runtime, const RunnerOptions& options)
      : model_(model), runtime_(runtime), options_(options) {}

  // An answer is cut at what Budget::kv_per_session_bytes holds. kContextOverflow with the sum
  // where the prompt alone is longer.
  Status Fit(Request* request);

 private:
  int64_t ContextTokens(int64_t bytes);

  const Model& model_;
  Runtime& runtime_;
  const RunnerOptions options_;
  std::mutex mutex_;
  int64_t asked_bytes_ = 0;     // guarded by mutex_; of the limit that was computed last
  int64_t context_tokens_ = 0;  // guarded by mutex_; what it holds
};

}  // namespace lull
