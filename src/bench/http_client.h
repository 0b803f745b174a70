// One HTTP request at a time, each on a connection of its own, always within a deadline.
#pragma once

#include <string>

#include "lull/status.h"

namespace lull {

struct HttpReply {
  int status = 0;
  std::string body;
};

// Thread-safe. host is an address or a name; bodies above 16 MiB are refused. api_key, if any, goes
// along as a bearer token.
Result<HttpReply> HttpGet(const std::string& host, int port, const std::string& path,
                          double timeout_s, const std::string& api_key = "");
Result<HttpReply> HttpPostJson(const std::string& host, int port, const std::string& path,
                               const std::string& body, double timeout_s);

}  // namespace lull
