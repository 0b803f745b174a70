#include "engine/session_limit.h"

#include <algorithm>
#include <string>

#include "budget/memory_book.h"
#include "engine/memory_plan.h"
#include "engine/runtime_rep.h"

namespace lull {

int64_t SessionLimit::ContextTokens(int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (asked_bytes_ != bytes) {
    context_tokens_ = ContextWithin(model_, runtime_, options_, bytes);
    asked_bytes_ = bytes;
  }
  return context_tokens_;
}

Status SessionLimit::Fit(Request* request) {
  const int64_t bytes = runtime_.rep().kv_per_session_bytes.load(std::memory_order_relaxed);
  if (bytes == 0) return Status();
  const int64_t context = ContextTokens(bytes);
  const auto prompt = static_cast<int64_t>(request->prompt_tokens.size());
  if (prompt < context) {
    request->max_new_tokens = std::min(request->max_new_tokens, context - prompt);
    return Status();
  }
  const int64_t needed = SessionKvBytes(model_, runtime_, options_, prompt + 1);
  if (needed <= bytes) return Status();  // the context is what it is too long for
  const std::string fits =
      context == 0 ? "not a page" : "the K and V of " + std::to_string(context) + " tokens";
  return {ErrorCode::kContextOverflow,
          "the prompt's " + std::to_string(prompt) + " tokens and one more take " +
              MegabytesText(needed) + " of K and V, but a session may hold " +
              MegabytesText(bytes) + ": " + fits,
          "prompt_tokens",
          context < 2 ? "declare a kv_per_session of " + RamText(needed)
                      : "shorten the prompt to at most " + std::to_string(context - 1) +
                            " tokens, or declare a kv_per_session of " + RamText(needed)};
}

}  // namespace lull
