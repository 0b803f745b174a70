#include "engine/memory_plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/model_rep.h"
#include "engine/runtime_rep.h"

namespace lull {
namespace {

constexpr int64_t kPage = static_cast<int64_t>(kPageTokens);
// A context that was left open is not cut below this.
constexpr int64_t kLeastContextTokens = 256;

Result<RunnerMemory> MeasureWith(const Model& model, Runtime& runtime, RunnerOptions options,
                                 int64_t context_tokens, int64_t pool_tokens) {
  options.max_context_tokens = context_tokens;
  options.kv_pool_tokens = pool_tokens;
  Runtime::Rep& rep = runtime.rep();
  return MeasureRunner(*model.rep().loaded, rep.kernels, options, rep.pool.threads());
}

// The largest multiple of a page, up to `most`, that fits; 0 where not even one does. fits falls
// from true to false as tokens grow.
template <typename Fn>
int64_t LargestThatFits(int64_t most, Fn&& fits) {
  int64_t low = 0, high = (most + kPage - 1) / kPage;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle * kPage)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * kPage;
}

class Planner {
 public:
  Planner(const Model& model, Runtime& runtime, const KvRequest& request)
      : model_(model), runtime_(runtime), request_(request), budget_(runtime.budget()) {}

  Result<RunnerPlan> Plan() {
    LULL_ASSIGN_OR_RETURN(plan_.options, ToRunnerOptions(model_.info(), request_));
    LULL_RETURN_IF_ERROR(FitSession());
    LULL_RETURN_IF_ERROR(FitPool());
    return std::move(plan_);
  }

 private:
  Result<RunnerMemory> Measure(int64_t context_tokens, int64_t pool_tokens) const {
    return MeasureWith(model_, runtime_, plan_.options, context_tokens, pool_tokens);
  }

  // K and V of one request within kv_per_session: a context left open becomes shorter.
  Status FitSession() {
    const int64_t limit = budget_.kv_per_session_bytes;
    if (limit == 0) return Status();
    RunnerOptions& options = plan_.options;
    const auto bytes = [&](int64_t context) {
      return SessionKvBytes(model_, runtime_, options, context);
    };
    const int64_t whole = bytes(options.max_context_tokens);
    if (whole <= limit) return Status();
    const int64_t fits = ContextWithin(model_, runtime_, options, limit);
    if (request_.max_context_tokens == 0 && fits > 0) {
      options.max_context_tokens = fits;
      return Status();
    }
    const std::string what = std::to_string(options.max_context_tokens) +
                             " tokens of context take " + MegabytesText(whole) +
                             " of K and V, but a session may hold " + MegabytesText(limit);
    return {ErrorCode::kBudgetImpossible, what, "kv_per_session",
            fits > 0 ? "a context of " + std::to_string(fits) + " tokens fits (--ctx), or " +
                           RamText(whole) + " a session"
                     : RamText(bytes(kPage)) + " a session is the least"};
  }

  // The pool in what the RAM leaves: one left open becomes smaller, and the context with it.
  Status FitPool() {
    RunnerOptions& options = plan_.options;
    // Of the longest context; nothing below depends on the pool.
    LULL_ASSIGN_OR_RETURN(const RunnerMemory wanted,
                          Measure(options.max_context_tokens, options.kv_pool_tokens));
    const int64_t logits =
        request_.logits_rows * model_.info().vocab_size * static_cast<int64_t>(sizeof(float));
    const int64_t activations = wanted.activation_bytes + logits;
    const auto kv_bytes = [&](int64_t pool) -> int64_t {
      const Result<RunnerMemory> memory = Measure(std::min(options.max_context_tokens, pool), pool);
      return memory.ok() ? memory->kv_bytes : MemoryBook::kUnlimited;
    };
    const int64_t context_pages = (options.max_context_tokens + kPage - 1) / kPage * kPage;
    int64_t least = context_pages;
    if (request_.max_context_tokens == 0) least = std::min(least, kLeastContextTokens);
    if (request_.kv_pool_tokens > 0) least = options.kv_pool_tokens;
    LULL_ASSIGN_OR_RETURN(
        plan_.activations,
        runtime_.rep().memory.Promise(MemoryPart::kActivations, activations, kv_bytes(least),
                                      NextThatFits(activations, least, kv_bytes)));
    const int64_t left = runtime_.rep().memory.left() - request_.spare_bytes;
    const int64_t pool = LargestThatFits(options.kv_pool_tokens,
                                         [&](int64_t tokens) { return kv_bytes(tokens) <= left; });
    options.kv_pool_tokens = std::max(pool, least);
    options.max_context_tokens = std::min(options.max_context_tokens, options.kv_pool_tokens);
    options.prefix_cache_tokens = std::min(options.prefix_cache_tokens, options.kv_pool_tokens);
    LULL_ASSIGN_OR_RETURN(
        plan_.kv, runtime_.rep().memory.Promise(MemoryPart::kKv, kv_bytes(options.kv_pool_tokens)));
    return Status();
  }

  // What to ask for instead of `least` tokens; "" where only more RAM would help.
  template <typename Fn>
  std::string NextThatFits(int64_t activations, int64_t least, Fn&& kv_bytes) const {
    const int64_t left = runtime_.rep().memory.left() - activations;
    if (left >= kv_bytes(least)) return "";
    const int64_t fits =
        LargestThatFits(least, [&](int64_t tokens) { return kv_bytes(tokens) <= left; });
    if (fits == 0) return "";
    const bool pool = request_.kv_pool_tokens > 0;
    const int64_t missing = kv_bytes(least) - left;
    const MemoryLedger ledger = runtime_.rep().memory.ledger();
    return std::string(pool ? "a KV pool of " : "a context of ") + std::to_string(fits) +
           " tokens fits (" + (pool ? "--kv-tokens" : "--ctx") + "), or " +
           RamText(ledger.limit_bytes + missing) + " would do";
  }

  const Model& model_;
  Runtime& runtime_;
  const KvRequest& request_;
  const Budget budget_;
  RunnerPlan plan_;
};

}  // namespace

int64_t SessionKvBytes(const Model& model, Runtime& runtime, const RunnerOptions& options,
                       int64_t context_tokens) {
  const Result<RunnerMemory> memory =
      MeasureWith(model, runtime, options, context_tokens, options.kv_pool_tokens);
  return memory.ok() ? memory->sequence_kv_bytes : MemoryBook::kUnlimited;
}

int64_t ContextWithin(const Model& model, Runtime& runtime, const RunnerOptions& options,
                      int64_t bytes) {
  const auto fits = [&](int64_t context) {
    return SessionKvBytes(model, runtime, options, context) <= bytes;
  };
  const int64_t most = options.max_context_tokens;
  return std::min(most, LargestThatFits(most, fits));
}

Result<RunnerPlan> PlanRunner(const Model& model, Runtime& runtime, const KvRequest& request) {
  if (model.rep().loaded == nullptr)
    return Error{ErrorCode::kUsage, "the model was loaded without its weights", model.info().path,
                 "load it with Model::Load"};
  return Planner(model, runtime, request).Plan();
}

}  // namespace lull
