// Many requests on one model: submit, events, cancel, meters. Continuous batching.
#pragma once

#include <cstdint>
#include <memory>

#include "lull/decoder.h"
#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"

namespace lull {

struct EngineOptions {
  std::string kv_type = "f16";
  std::string activation_type = "q8_0";   // as DecoderOptions'
  int64_t max_context_tokens = 0;         // per request; 0: the model's own, cut as below
  int64_t default_context_tokens = 8192;  // most of a context left open; less where KV is short
  int64_t kv_pool_tokens = 0;             // 0: up to 4 contexts, fewer where the RAM says so
  int max_sequences = 64;                 // decoding at once
  int max_queue = 256;                    // waiting; more are refused with kBusy
  int prefill_chunk_tokens = 128;         // rows of prompt in one step beside the decoding rows
  // Budget::p95_latency_s; 0: the runtime's, as it is at each step. Beside answers in progress a
  // step takes no more prompt than it can compute, by what was measured, in a tenth of it and at
  // most 250 ms; where none is declared, in 250 ms.
  double p95_latency_s = 0.0;
  // Prompts that begin like earlier ones, answers included, take over their K and V: pages of
  // 64 tokens and, in models without recurrent state, a part of one. The cache lives in the pool:
  // what nobody uses is given up where room is short.
  bool prefix_cache = true;
  int64_t prefix_cache_tokens = 0;  // kept at most; 0: 512 to 4096, by a quarter of the weights
};

using RequestId = uint64_t;

struct EngineStats {
  int64_t requests_submitted = 0;
  int64_t requests_finished = 0;
  int64_t requests_expired = 0;  // of the finished: their deadline passed
  int64_t requests_cancelled = 0;
  int64_t requests_refused = 0;  // kBusy: queue full, deadline out of reach, or draining
  int64_t requests_invalid = 0;  // refused for what they asked
  int64_t preemptions = 0;       // times that a request gave its KV pages to an older one
  int64_t running = 0;
  int64_t waiting = 0;
  double oldest_wait_ms = 0.0;  // of those waiting for their first turn; 0: none waits
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t steps = 0;
  double idle_cpu_ms = 0.0;    // process CPU time beside the requests' own: of idle times
  int64_t prefix_queries = 0;  // prompt tokens looked for in the prefix cache
  int64_t prefix_hits = 0;     // and found
  KvUsage kv;
};

// Thread-safe. Destruction cancels what runs and joins the engine's thread.
class Engine {
 public:
  // Model and runtime outlive the engine.
  static Result<std::unique_ptr<Engine>> Create(const Model& model, Runtime& runtime,
                                                const EngineOptions& options);
  ~Engine();

  // Checked at once: kUsage, kContextOverflow (says how long the prompt may be), kBusy where the
  // queue is full or, by what was measured, the deadline cannot be met (retry_after_s is set).
  Result<RequestId> Submit(Request request, EventFn on_event);
  // The request ends with kCancelled within one step. Unknown or finished ids are ignored.
  void Cancel(RequestId id);
  // From now on Submit answers kBusy; what was accepted goes on.
  void Drain();
  // Drains, waits until every request has ended, and cancels after timeout_ms what has not. True
  // where none had to be. Not from within an event.
  bool Stop(int64_t timeout_ms);
  EngineStats stats() const;
  int64_t max_context_tokens() const;

 private:
  struct Rep;
  explicit Engine(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
