// One HTTP request at a time, each on a connection of its own, always within a deadline.
#pragma once

#include <atomic>
#include <string>

#include "lull/status.h"

namespace lull {

struct HttpReply {
  int status = 0;
  std::string body;
  int retry_after_s = 0;  // of a refusal; 0: none named
};

struct HttpCall {
  std::string method = "GET";  // or POST, PUT
  std::string host;
  int port = 0;
  std::string path;
  std::string body;  // JSON
  std::string key;   // sent as a bearer token; empty: none
  double timeout_s = 10;
  const std::atomic<bool>* cancelled = nullptr;  // set: the connection is closed
};

// Thread-safe. host is an address or a name; bodies above 16 MiB are refused. api_key, if any, goes
// along as a bearer token.
Result<HttpReply> HttpSend(const HttpCall& call);
Result<HttpReply> HttpGet(const std::string& host, int port, const std::string& path,
                          double timeout_s, const std::string& api_key = "");
Result<HttpReply> HttpPostJson(const std::string& host, int port, const std::string& path,
                               const std::string& body, double timeout_s,
                               const std::string& api_key = "");

}  // namespace lull
