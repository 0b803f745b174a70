// GET over HTTP and HTTPS: redirects under rules, stalls noticed, bytes handed on as they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lull/status.h"

namespace lull {

struct HttpLimits {
  int64_t connect_ms = 20'000;
  int64_t stall_ms = 30'000;  // a window in which fewer than stall_bytes came: the line is dead
  uint64_t stall_bytes = 1024;
  int max_redirects = 5;
};

struct HttpGet {
  std::string url;       // http, https or file
  std::string token;     // "": none. Sent to the host of url alone, whatever redirects say
  uint64_t start = 0;    // first byte asked for
  std::string if_range;  // the etag that start is good for; "": any
};

// Of the answer that carries the body; fields that it does not have are empty or -1.
struct HttpAnswer {
  int status = 0;  // 200 for a file
  std::string etag;
  std::string next_url;  // of a Link with rel="next"
  std::string message;   // X-Error-Message
  int64_t content_bytes = -1;
  int64_t range_start = -1, range_total = -1;  // of Content-Range
  int64_t retry_after_s = -1;
  bool redirected = false;
};

enum class HttpEnd {
  kDone,     // a whole answer, whatever its status
  kBroken,   // the line: worth another try
  kRefused,  // redirects or addresses that are not followed: not worth one
  kStopped,  // by one of the callbacks
};

struct HttpOutcome {
  HttpEnd end = HttpEnd::kDone;
  HttpAnswer head;
  std::string reason;  // where not kDone
};

struct HttpCallbacks {
  // Once, before the first byte of an answer of 200 or 206; false stops.
  std::function<bool(const HttpAnswer& head)> on_head;
  std::function<bool(const char* data, size_t size)> on_data;
  // About ten times a second.
  std::function<bool()> keep_going;
};

// Keeps connections between calls. For one thread.
class HttpClient {
 public:
  explicit HttpClient(const HttpLimits& limits = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // A redirect from https to anything else is refused, and one to anything but http and https.
  HttpOutcome Get(const HttpGet& get, const HttpCallbacks& callbacks);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

// Of a Content-Range, "bytes 5-9/10"; -1 where it does not say.
void ParseContentRange(const std::string& value, int64_t* start, int64_t* total);
// Seconds from now of a Retry-After, "120" or a date; -1 where it is neither.
int64_t ParseRetryAfter(const std::string& value, int64_t now_unix_s);
// The address of rel="next" in a Link, or "".
std::string ParseNextLink(const std::string& value);
// Why a redirect is not followed, or "": from https to https alone, else to http or https.
std::string RefusedRedirect(const std::string& from, const std::string& to);
// Whether a and b have the same scheme, host and port.
bool SameOrigin(const std::string& a, const std::string& b);

}  // namespace lull
