// What an endpoint sees of HTTP: a request, and a way to answer it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace lull {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without the query
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// Answers one request: Send once, or StartStream, any number of Write, End. Thread-safe; calls
// after the client has gone do nothing.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void Send(HttpResponse response) = 0;
  virtual void StartStream(const std::string& content_type) = 0;
  virtual void Write(std::string chunk) = 0;
  virtual void End() = 0;
  // Called once on the server's thread if the client goes before the answer has ended.
  virtual void OnDisconnect(std::function<void()> fn) = 0;
};

}  // namespace lull
