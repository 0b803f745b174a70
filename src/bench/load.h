// Clients that ask a server, closed loop or at Poisson arrivals.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/prompts.h"
#include "bench/server_info.h"
#include "lull/status.h"

namespace lull {

struct LoadPlan {
  ServerAddress server;
  bool chat = false;  // /v1/chat/completions, else /v1/completions
  std::string model;
  int max_tokens = 64;
  double request_timeout_s = 120.0;
  int concurrency = 1;
  double arrivals_per_s = 0;  // 0: closed loop
  int64_t min_requests = 0;   // begins requests until both minima are met ...
  double min_duration_s = 0;
  double max_duration_s = 0;  // ... or this has passed
  uint64_t seed = 1;          // of the arrivals
  const std::atomic<bool>* cancelled = nullptr;
};

// What a server says of a request itself ("lull" in its answer).
struct Receipt {
  double queue_ms = 0, prefill_ms = 0, decode_ms = 0, throttled_ms = 0;
  double cpu_ms = 0;  // CPU time
  double bytes_moved = 0, kv_bytes = 0;
};

struct Answer {
  int64_t begin_ns = 0;  // sent, or due to be sent
  int64_t end_ns = 0;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t cached_tokens = 0;   // of the prompt, not computed again
  int64_t nominal_tokens = 0;  // of the prompt, as it was made
  size_t prompt_index = 0;     // of the prompts given
  int status = 0;              // of HTTP; 0: none came
  int retry_after_s = 0;       // of a refusal
  std::string text;
  std::optional<Receipt> receipt;
  std::string failure;  // empty: answered
};

struct LoadResult {
  int64_t begin_ns = 0;  // first request sent
  int64_t end_ns = 0;    // last answer
  std::vector<Answer> answers;
};

// Prompts are used in turn, from the first again after the last. poll is called about every 100 ms
// with the number of answers and the seconds passed. Fails where the system refuses a client's
// thread. Requires: prompts is not empty.
Result<LoadResult> RunLoad(const LoadPlan& options, const std::vector<BenchPrompt>& prompts,
                           const std::function<void(int64_t, double)>& poll);

// One request, timed. Reads usage counts where the server gives them. Where `cancelled` of the
// options is set meanwhile, the connection is closed.
Answer Ask(const LoadPlan& options, const std::string& prompt);

// The stretches of time, in order and apart, in which at least one request was under way.
std::vector<std::pair<int64_t, int64_t>> BusyStretches(const std::vector<Answer>& answers);

}  // namespace lull
