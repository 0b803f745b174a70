// Clients that ask a server, closed loop or at Poisson arrivals.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/prompts.h"
#include "lull/status.h"

namespace lull {

struct LoadOptions {
  std::string host;
  int port = 0;
  bool chat = true;
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

struct Answer {
  int64_t begin_ns = 0;  // sent, or due to be sent
  int64_t end_ns = 0;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
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
Result<LoadResult> RunLoad(const LoadOptions& options, const std::vector<BenchPrompt>& prompts,
                           const std::function<void(int64_t, double)>& poll);

// One request, timed. Reads usage counts where the server gives them.
Answer Ask(const LoadOptions& options, const std::string& prompt);

}  // namespace lull
