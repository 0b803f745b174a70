// What sessions gain from each other: many at once against one, and a prompt's beginning asked
// again.
#pragma once

#include <string>

#include "bench/outcome.h"
#include "bench/prompts.h"
#include "bench/server_info.h"
#include "lull/status.h"

namespace lull {

struct SessionsOptions {
  ServerAddress server;
  std::string model = "lull";
  int sessions = 8;
  int prompt_tokens = 40;
  int max_tokens = 128;
  int answers_each = 2;  // of each session, a round
  int rounds = 5;        // of one session alone and of all at once, in turn
  double at_least = 6;   // times the tokens per second of one
  TokenCounter counter;  // empty: the server's, else an estimate
  uint64_t seed = 1;
};
// Tokens per second of so many sessions against those of one.
Result<Outcome> RunSessions(const SessionsOptions& options);

struct ReuseOptions {
  ServerAddress server;
  std::string model = "lull";
  int prefix_tokens = 500;
  int question_tokens = 40;
  int rounds = 20;  // of a new beginning, asked twice
  double at_most = 0.15;
  TokenCounter counter;
  uint64_t seed = 1;
};
// Time to the first token of a prompt whose beginning was asked before, against the first time.
Result<Outcome> RunReuse(const ReuseOptions& options);

}  // namespace lull
