#include "lull/engine.h"

#include <algorithm>
#include <utility>

#include "engine/kv_options.h"
#include "engine/memory_plan.h"
#include "engine/model_rep.h"
#include "engine/runtime_rep.h"
#include "engine/session_limit.h"
#include "sched/step_loop.h"

namespace lull {
namespace {

constexpr int64_t kDefaultContexts = 4;  // in a pool whose size was left open
constexpr int64_t kLeastPrefixCacheTokens = 512;
constexpr int64_t kMostPrefixCacheTokens = 4096;

// A small model's cache should not weigh as much as the model.
int64_t PrefixCacheTokens(const EngineOptions& options, const ModelInfo& info) {
  if (!options.prefix_cache) return 0;
  if (options.prefix_cache_tokens != 0) return options.prefix_cache_tokens;
  return std::clamp(info.weight_bytes / 4 / std::max<int64_t>(info.kv_bytes_per_token, 1),
                    kLeastPrefixCacheTokens, kMostPrefixCacheTokens);
}

}  // namespace

struct Engine::Rep {
  Rep(std::unique_ptr<Runner> runner, std::unique_ptr<SessionLimit> limit,
      const Tokenizer& tokenizer, const ExecContext& ctx, const StepLoopOptions& options)
      : session_limit(std::move(limit)), loop(std::move(runner), tokenizer, ctx, options) {}
  const std::unique_ptr<SessionLimit> session_limit;  // asked by the loop
  StepLoop loop;
};

Result<std::unique_ptr<Engine>> Engine::Create(const Model& model, Runtime& runtime,
                                               const EngineOptions& options) {
  if (options.prefill_chunk_tokens < 1 || options.max_queue < 1) {
    const bool chunk = options.prefill_chunk_tokens < 1;
    const char* field = chunk ? "prefill_chunk_tokens" : "max_queue";
    const int value = chunk ? options.prefill_chunk_tokens : options.max_queue;
    return Error{ErrorCode::kUsage, std::string(field) + " is " + std::to_string(value), field,
                 "give at least 1"};
  }
  KvRequest request;
  request.kv_type = options.kv_type;
  request.activation_type = options.activation_type;
  request.max_context_tokens = options.max_context_tokens;
  request.default_context_tokens =
      std::min(model.info().context_tokens, std::max<int64_t>(options.default_context_tokens, 1));
  request.kv_pool_tokens = options.kv_pool_tokens;
  request.prefix_cache_tokens = PrefixCacheTokens(options, model.info());
  request.max_sequences = options.max_sequences;
  request.max_batch_rows = static_cast<int>(std::clamp<int64_t>(
      int64_t{options.max_sequences} + options.prefill_chunk_tokens, 1, 1 << 20));
  request.default_contexts = kDefaultContexts;
  request.logits_rows = options.max_sequences;
  request.spare_bytes = LeastGrammarBytes(model.info());
  LULL_ASSIGN_OR_RETURN(RunnerPlan plan, PlanRunner(model, runtime, request));
  const RunnerOptions runner_options = plan.options;
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<Runner> runner,
                        MakeSharedRunner(model, runtime, std::move(plan)));
  StepLoopOptions loop;
  loop.batcher.max_sequences = options.max_sequences;
  loop.batcher.prefill_chunk_tokens = options.prefill_chunk_tokens;
  loop.batcher.kv_pool_tokens = runner_options.kv_pool_tokens;
  loop.batcher.max_context_tokens = runner_options.max_context_tokens;
  loop.batcher.p95_latency_s = [&runtime = runtime.rep(), own = options.p95_latency_s] {
    return own > 0.0 ? own : runtime.p95_latency_s.load(std::memory_order_relaxed);
  };
  loop.batcher.prefix_cache = options.prefix_cache;
  loop.batcher.cpu_claims = &runtime.rep().cpu_claims;
  auto session_limit = std::make_unique<SessionLimit>(model, runtime, runner_options);
  loop.fit = [limit = session_limit.get()](Request* request) { return limit->Fit(request); };
  loop.max_queue = options.max_queue;
  loop.idle_priority = runtime.rep().options.idle_priority;
  auto rep = std::make_unique<Rep>(std::move(runner), std::move(session_limit),
                                   *model.rep().tokenizer, runtime.rep().Context(), loop);
  LULL_RETURN_IF_ERROR(rep->loop.start_status());
  return std::unique_ptr<Engine>(new Engine(std::move(rep)));
}

Engine::Engine(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Engine::~Engine() = default;

Result<RequestId> Engine::Submit(Request request, EventFn on_event) {
  return rep_->loop.Submit(std::move(request), std::move(on_event));
}
void Engine::Cancel(RequestId id) { rep_->loop.Cancel(id); }
void Engine::Drain() { rep_->loop.Drain(); }
bool Engine::Stop(int64_t timeout_ms) { return rep_->loop.Stop(timeout_ms); }
EngineStats Engine::stats() const { return rep_->loop.stats(); }
int64_t Engine::max_context_tokens() const { return rep_->loop.max_context_tokens(); }

}  // namespace lull
