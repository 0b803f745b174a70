// What a program at work beside the server loses: measured without, with and without its work, many
// times.
#pragma once

#include <functional>
#include <string>

#include "bench/outcome.h"
#include "bench/server_info.h"
#include "lull/status.h"

namespace lull {

struct ForegroundOptions {
  ServerAddress server;
  std::string model = "lull";
  int clients = 1;        // that keep the server decoding
  int max_tokens = 256;   // of each of their requests
  int pairs = 10;         // of A/B/A
  double seconds = 1.0;   // of the copy and of the chase, each time
  double settle_s = 1.5;  // from a request until the prompt is read and decoding under way
  size_t buffer_bytes = size_t{256} << 20;
  std::string job;  // a command; empty: one of its own
  double at_most = 0.10;
  uint64_t seed = 1;
  std::function<void(int pair)> progress;
};

// Judges the median of the pairs; each B stands against the mean of the A before and after it.
Result<Outcome> RunForeground(const ForegroundOptions& options);

}  // namespace lull
