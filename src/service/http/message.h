// What an endpoint sees of HTTP: a request, and a way to answer it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lull {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

// A request's header, before its body is read.
struct HttpHead {
  std::string method;  // "GET"
  std::string path;    // as it was sent, without the query
  std::string query;   // without the question mark
  HttpFields fields;   // in order; names in lower case
  bool http_1_1 = true;

  // All values of the field of this lower-case name, in order.
  std::vector<std::string_view> Values(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const auto& [field, value] : fields)
      if (field == name) values.push_back(value);
    return values;
  }
};

struct HttpRequest {
  std::string method;   // "GET"
  std::string path;     // without the query
  std::string body;     // decoded from its transfer encoding
  std::string query;    // without the question mark
  std::string account;  // whose key came with it; empty where none was needed
  bool admin = false;   // and it was an admin's
  HttpFields fields;    // of the header; names in lower case

  // Whether it may see what this account did.
  bool MaySee(const std::string& of) const { return admin || account.empty() || account == of; }

  // The first field of this lower-case name; "" where there is none.
  std::string Field(std::string_view name) const {
    for (const auto& [field, value] : fields)
      if (field == name) return value;
    return "";
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpFields headers;
};

// What becomes of a request by its header alone.
struct HttpVerdict {
  std::optional<HttpResponse> refusal;  // sent in place of an answer; the body is not read
  std::string account;                  // into HttpRequest, like the next
  bool admin = false;
  HttpFields headers;  // added to the answer, whatever it is
};
// Called on the server's thread with every request's header; must not block.
using HttpGate = std::function<HttpVerdict(const HttpHead&)>;

// Answers one request: Send once, or StartStream, any number of Write, End. Thread-safe; calls
// after the client has gone do nothing.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void Send(HttpResponse response) = 0;
  virtual void StartStream(const std::string& content_type, HttpFields headers = {}) = 0;
  virtual void Write(std::string chunk) = 0;
  virtual void End() = 0;
  // Called once on the server's thread if the client goes before the answer has ended. A client
  // that closes its sending side counts as gone.
  virtual void OnDisconnect(std::function<void()> fn) = 0;
};

}  // namespace lull
