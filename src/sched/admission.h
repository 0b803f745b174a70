// What a request must satisfy before it may wait in a queue.
#pragma once

#include <cstdint>

#include "lull/request.h"
#include "lull/status.h"

namespace lull {

struct RequestLimits {
  int64_t vocab_size = 0;
  int64_t max_context_tokens = 0;  // prompt and new tokens of one request
};

// kUsage naming the field, or kContextOverflow saying how long the prompt may be.
Status CheckRequest(const Request& request, const RequestLimits& limits);

// Tokens the answer may have: what was asked for, cut at the context.
int64_t NewTokenLimit(const Request& request, const RequestLimits& limits);

}  // namespace lull
