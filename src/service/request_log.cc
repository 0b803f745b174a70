#include "service/request_log.h"

#include <algorithm>

#include "service/receipt.h"

namespace lull {

const char* PriorityName(Priority priority) {
  switch (priority) {
    case Priority::kInteractive:
      return "interactive";
    case Priority::kBatch:
      return "batch";
    case Priority::kBackground:
      return "background";
  }
  return "interactive";
}

Json ToJson(const LoggedRequest& request) {
  Json json = {
      {"id", request.id},
      {"endpoint", request.endpoint},
      {"model", request.model},
      {"account", request.account},
      {"priority", PriorityName(request.priority)},
      {"stream", request.stream},
      {"choices", request.choices},
      {"arrived_unix_ms", request.arrived_unix_ms},
      {"first_token_ms", request.first_token_ms < 0 ? Json() : Json(request.first_token_ms)},
      {"total_ms", request.total_ms},
      {"finish_reason", FinishReasonName(request.reason)},
      {"prompt_tokens", request.stats.prompt_tokens},
      {"new_tokens", request.stats.new_tokens},
      {"lull", Receipt(request.id, request.stats)}};
  if (!request.error.empty()) json["error"] = request.error;
  return json;
}

void RequestLog::Add(LoggedRequest request) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (requests_.size() == kCapacity) requests_.pop_front();
  requests_.push_back(std::move(request));
}

std::vector<LoggedRequest> RequestLog::Newest(size_t most) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto count = static_cast<std::ptrdiff_t>(std::min(most, requests_.size()));
  return {requests_.rbegin(), requests_.rbegin() + count};
}

std::optional<LoggedRequest> RequestLog::Find(const std::string& id) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = requests_.rbegin(); it != requests_.rend(); ++it)
    if (it->id == id) return *it;
  return std::nullopt;
}

}  // namespace lull
