#include "sched/admission.h"

#include <algorithm>
#include <string>

#include "decode/sampler.h"
#include "decode/stop.h"
#include "lull/adapter.h"

namespace lull {
namespace {

constexpr int64_t kMaxDeadlineMs = int64_t{1} << 40;  // clocks count nanoseconds in 64 bits

}  // namespace

Status CheckRequest(const Request& request, const RequestLimits& limits) {
  const int64_t prompt = static_cast<int64_t>(request.prompt_tokens.size());
  if (prompt == 0) {
    return {ErrorCode::kUsage, "the prompt has no tokens", "prompt_tokens",
            "give at least one, for example the model's BOS token"};
  }
  if (prompt + 1 > limits.max_context_tokens) {
    return {ErrorCode::kContextOverflow,
            "the prompt has " + std::to_string(prompt) + " tokens, the context holds " +
                std::to_string(limits.max_context_tokens),
            "prompt_tokens",
            "shorten the prompt to at most " + std::to_string(limits.max_context_tokens - 1) +
                " tokens (one is left for the answer), or configure a longer context (--ctx)"};
  }
  for (int64_t i = 0; i < prompt; ++i) {
    const int32_t token = request.prompt_tokens[static_cast<size_t>(i)];
    if (token >= 0 && token < limits.vocab_size) continue;
    return {ErrorCode::kUsage, "token " + std::to_string(token) + " is not in the vocabulary",
            "prompt_tokens[" + std::to_string(i) + "]",
            "token ids of this model run from 0 to " + std::to_string(limits.vocab_size - 1)};
  }
  if (request.max_new_tokens < 1) {
    return {ErrorCode::kUsage, "max_new_tokens is " + std::to_string(request.max_new_tokens),
            "max_new_tokens", "give at least 1"};
  }
  if (request.logprobs < 0 || request.logprobs > limits.vocab_size) {
    return {ErrorCode::kUsage, "logprobs is " + std::to_string(request.logprobs), "logprobs",
            "give a count from 0 (none) to " + std::to_string(limits.vocab_size)};
  }
  if (request.deadline_ms < 0 || request.deadline_ms > kMaxDeadlineMs) {
    return {ErrorCode::kUsage, "deadline_ms is " + std::to_string(request.deadline_ms),
            "deadline_ms", "give milliseconds from submission to the last token, or 0 for none"};
  }
  if (request.priority != Priority::kInteractive && request.priority != Priority::kBatch &&
      request.priority != Priority::kBackground) {
    return {ErrorCode::kUsage, "no such priority", "priority",
            "give interactive, batch or background"};
  }
  if (request.adapters.size() > kMaxAdapters) {
    return {ErrorCode::kUsage, std::to_string(request.adapters.size()) + " adapters", "adapters",
            "give at most " + std::to_string(kMaxAdapters)};
  }
  LULL_RETURN_IF_ERROR(CheckSampling(request.sampling, limits.vocab_size));
  return CheckStopStrings(request.stop);
}

int64_t NewTokenLimit(const Request& request, const RequestLimits& limits) {
  const int64_t prompt = static_cast<int64_t>(request.prompt_tokens.size());
  return std::min(request.max_new_tokens, limits.max_context_tokens - prompt);
}

}  // namespace lull
