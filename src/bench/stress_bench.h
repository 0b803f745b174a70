// More and more clients at once: where does a server stop answering faster, and does it stay right?
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/outcome.h"
#include "bench/prompts.h"
#include "bench/server_info.h"
#include "lull/status.h"

namespace lull {

struct StressOptions {
  ServerAddress server;
  bool chat = false;
  std::string model = "lull";
  int max_tokens = 64;
  std::vector<int> prompt_lengths = {40, 80, 160, 320, 640};
  TokenCounter counter;  // empty: the server's, else an estimate
  std::vector<int> workers = {1, 10, 50, 100, 256, 1000};
  int64_t completions = 200;  // a level ends at so many answers ...
  double level_s = 300;       // ... or after so long, and then proves nothing
  int checks = 16;            // answers of a level that are asked for again alone and compared
  double request_timeout_s = 600;
  uint64_t seed = 1;
  // Tells before each level and about once a second.
  std::function<void(int workers, int64_t completed, double seconds)> progress;
};

// An error where the server cannot be reached or watched; what goes wrong under load is part of the
// outcome.
Result<Outcome> RunStress(const StressOptions& options);

}  // namespace lull
