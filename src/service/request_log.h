// The last requests that ended, with their receipts: what /requests, the dashboard and
// `lull explain` show. Prompts and answers are not kept.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lull/request.h"
#include "service/json_request.h"

namespace lull {

struct LoggedRequest {
  std::string id;        // as X-Request-Id told the client
  std::string endpoint;  // "/v1/chat/completions"
  std::string model;
  std::string account;
  Priority priority = Priority::kInteractive;
  bool stream = false;
  int choices = 1;  // the engine's requests that answer it
  int64_t arrived_unix_ms = 0;
  double first_token_ms = -1;                 // after arrival; below 0: none came
  double total_ms = 0;                        // from arrival to the end
  FinishReason reason = FinishReason::kStop;  // of several choices the least regular
  std::string error;                          // where reason is kError or kCancelled
  RequestStats stats;                         // of all choices
};

Json ToJson(const LoggedRequest& request);

// Thread-safe.
class RequestLog {
 public:
  static constexpr size_t kCapacity = 256;

  void Add(LoggedRequest request);
  std::vector<LoggedRequest> Newest(size_t most) const;  // the last to end first
  std::optional<LoggedRequest> Find(const std::string& id) const;

 private:
  mutable std::mutex mutex_;
  std::deque<LoggedRequest> requests_;  // oldest first
};

const char* PriorityName(Priority priority);  // "interactive", "batch", "background"

}  // namespace lull
