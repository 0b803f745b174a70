#include "store/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/os/os.h"

namespace lull {
namespace {

constexpr int kTickMs = 100;
constexpr size_t kMaxHeaderBytes = 8192;  // of one that is kept

struct EasyCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct MultiCloser {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct UrlCloser {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Easy = std::unique_ptr<CURL, EasyCloser>;
using List = std::unique_ptr<curl_slist, ListCloser>;

int64_t ToNumber(std::string_view text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

std::string Trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return std::string(text);
}

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// For people: nothing that a terminal would obey.
std::string PlainText(std::string text) {
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

std::string Origin(const std::string& address) {
  const std::unique_ptr<CURLU, UrlCloser> url(curl_url());
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) != CURLUE_OK)
    return "";
  return Lower(UrlPart(url.get(), CURLUPART_SCHEME) + "://" + UrlPart(url.get(), CURLUPART_HOST)) +
         ":" + UrlPart(url.get(), CURLUPART_PORT);
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// One request and its answer, without redirects.
struct Exchange {
  const HttpCallbacks* callbacks = nullptr;
  CURL* easy = nullptr;
  HttpAnswer head;
  bool told_head = false;
  bool stopped = false;
  uint64_t bytes = 0;

  bool HasBody() const { return head.status == 200 || head.status == 206; }
  void TakeHeader(std::string_view line);
  bool TellHead() {
    if (told_head) return true;
    told_head = true;
    return !callbacks->on_head || callbacks->on_head(head);
  }
};

void Exchange::TakeHeader(std::string_view line) {
  if (line.starts_with("HTTP/")) {  // of the answer, or of one before it (100, a proxy's)
    head = HttpAnswer();
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    head.status = static_cast<int>(status);
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.size() > kMaxHeaderBytes) return;
  const std::string name = Lower(std::string(line.substr(0, colon)));
  const std::string value = Trimmed(line.substr(colon + 1));
  if (name == "etag") head.etag = value;
  if (name == "content-length") head.content_bytes = ToNumber(value);
  if (name == "content-range") ParseContentRange(value, &head.range_start, &head.range_total);
  if (name == "retry-after") head.retry_after_s = ParseRetryAfter(value, time(nullptr));
  if (name == "link" && head.next_url.empty()) head.next_url = ParseNextLink(value);
  if (name == "x-error-message") head.message = PlainText(value.substr(0, 300));
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  static_cast<Exchange*>(user)->TakeHeader(std::string_view(data, size * count));
  return size * count;
}

size_t OnData(char* data, size_t size, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const size_t bytes = size * count;
  exchange.bytes += bytes;
  if (exchange.head.status == 0) exchange.head.status = 200;  // a file has no head
  if (!exchange.HasBody()) return bytes;
  if (exchange.TellHead() &&
      (!exchange.callbacks->on_data || exchange.callbacks->on_data(data, bytes)))
    return bytes;
  exchange.stopped = true;
  return 0;
}

// Notices a line on which next to nothing comes.
class StallWatch {
 public:
  explicit StallWatch(const HttpLimits& limits) : limits_(limits), since_ns_(os::MonotonicNs()) {}
  bool Stalled(uint64_t bytes) {
    const int64_t now_ns = os::MonotonicNs();
    if (now_ns - since_ns_ < limits_.stall_ms * 1'000'000) return false;
    if (bytes - bytes_ < limits_.stall_bytes) return true;
    since_ns_ = now_ns;
    bytes_ = bytes;
    return false;
  }

 private:
  const HttpLimits limits_;
  int64_t since_ns_;
  uint64_t bytes_ = 0;
};

}  // namespace

void ParseContentRange(const std::string& value, int64_t* start, int64_t* total) {
  constexpr std::string_view kUnit = "bytes ";
  *start = *total = -1;
  const size_t dash = value.find('-'), slash = value.find('/');
  if (!value.starts_with(kUnit)) return;
  if (slash != std::string::npos) *total = ToNumber(std::string_view(value).substr(slash + 1));
  if (dash != std::string::npos && dash < slash)
    *start = ToNumber(std::string_view(value).substr(kUnit.size(), dash - kUnit.size()));
}

int64_t ParseRetryAfter(const std::string& value, int64_t now_unix_s) {
  if (const int64_t seconds = ToNumber(value); seconds >= 0) return seconds;
  const time_t date = curl_getdate(value.c_str(), nullptr);
  return date < 0 ? -1 : std::max<int64_t>(0, static_cast<int64_t>(date) - now_unix_s);
}

std::string ParseNextLink(const std::string& value) {
  for (size_t at = 0; at < value.size();) {
    const size_t open = value.find('<', at);
    const size_t close = value.find('>', open == std::string::npos ? at : open);
    if (open == std::string::npos || close == std::string::npos) return "";
    const size_t end = std::min(value.find('<', close), value.size());
    const std::string parameters = Lower(value.substr(close, end - close));
    if (parameters.find("rel=\"next\"") != std::string::npos ||
        parameters.find("rel=next") != std::string::npos)
      return value.substr(open + 1, close - open - 1);
    at = end;
  }
  return "";
}

std::string RefusedRedirect(const std::string& from, const std::string& to) {
  const std::string target = Lower(to.substr(0, 8));
  if (target.starts_with("https://")) return "";
  if (Lower(from.substr(0, 6)) == "https:") return "a redirect away from https";
  return target.starts_with("http://") ? "" : "a redirect to another protocol";
}

bool SameOrigin(const std::string& a, const std::string& b) {
  const std::string origin = Origin(a);
  return !origin.empty() && origin == Origin(b);
}

struct HttpClient::Rep {
  HttpLimits limits;
  std::unique_ptr<CURLM, MultiCloser> multi;

  HttpOutcome Once(const HttpGet& get, const std::string& url, bool with_token,
                   const HttpCallbacks& callbacks, std::string* redirect);
  CURLcode Perform(Exchange& exchange, std::string* reason);
};

// Of a request: headers lives as long as the transfer.
static void Configure(CURL* easy, const HttpGet& get, const std::string& url, bool with_token,
                      const HttpLimits& limits, Exchange& exchange, List* headers) {
  const auto add = [headers](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers->get(), line.c_str());
    if (longer == nullptr) return;
    (void)headers->release();
    headers->reset(longer);
  };
  if (with_token) add("Authorization: Bearer " + get.token);
  if (get.start > 0 && !get.if_range.empty()) add("If-Range: " + get.if_range);
  const bool file = url.starts_with("file:");
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, file ? "file" : "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers->get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "lull");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits.connect_ms));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnData);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  // Not CURLOPT_RESUME_FROM: with it curl itself refuses a server that ignores ranges.
  const std::string range = std::to_string(get.start) + "-";
  if (get.start > 0 && !file) curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
}

CURLcode HttpClient::Rep::Perform(Exchange& exchange, std::string* reason) {
  curl_multi_add_handle(multi.get(), exchange.easy);
  StallWatch watch(limits);
  CURLcode code = CURLE_OK;
  for (int running = 1; running > 0;) {
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) code = CURLE_RECV_ERROR;
    if (code != CURLE_OK || running == 0) break;
    if (exchange.callbacks->keep_going && !exchange.callbacks->keep_going()) {
      exchange.stopped = true;
      code = CURLE_ABORTED_BY_CALLBACK;
      break;
    }
    if (watch.Stalled(exchange.bytes)) {
      *reason = "the transfer stalled";
      code = CURLE_OPERATION_TIMEDOUT;
      break;
    }
    curl_multi_poll(multi.get(), nullptr, 0, kTickMs, nullptr);
  }
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left))
    if (message->msg == CURLMSG_DONE && code == CURLE_OK) code = message->data.result;
  curl_multi_remove_handle(multi.get(), exchange.easy);
  return code;
}

HttpOutcome HttpClient::Rep::Once(const HttpGet& get, const std::string& url, bool with_token,
                                  const HttpCallbacks& callbacks, std::string* redirect) {
  HttpOutcome outcome;
  const Easy easy(curl_easy_init());
  if (easy == nullptr || multi == nullptr) {
    outcome.end = HttpEnd::kRefused;
    outcome.reason = "cannot start a transfer";
    return outcome;
  }
  Exchange exchange;
  exchange.callbacks = &callbacks;
  exchange.easy = easy.get();
  List headers;
  Configure(easy.get(), get, url, with_token, limits, exchange, &headers);
  const CURLcode code = Perform(exchange, &outcome.reason);
  if (code == CURLE_OK && url.starts_with("file:")) exchange.head.status = 200;
  if (code == CURLE_OK && exchange.HasBody() && !exchange.TellHead()) exchange.stopped = true;
  outcome.head = exchange.head;
  if (exchange.stopped) {
    outcome.end = HttpEnd::kStopped;
  } else if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT) {
    outcome.end = HttpEnd::kRefused;
    outcome.reason = "an address that is not fetched from";
  } else if (code != CURLE_OK) {
    outcome.end = HttpEnd::kBroken;
    if (outcome.reason.empty()) outcome.reason = curl_easy_strerror(code);
  }
  char* target = nullptr;
  if (outcome.end == HttpEnd::kDone && IsRedirect(outcome.head.status) &&
      curl_easy_getinfo(easy.get(), CURLINFO_REDIRECT_URL, &target) == CURLE_OK &&
      target != nullptr)
    *redirect = target;
  return outcome;
}

HttpClient::HttpClient(const HttpLimits& limits) : rep_(std::make_unique<Rep>()) {
  static const CURLcode init = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)init;
  rep_->limits = limits;
  rep_->multi.reset(curl_multi_init());
}
HttpClient::~HttpClient() = default;

HttpOutcome HttpClient::Get(const HttpGet& get, const HttpCallbacks& callbacks) {
  std::string url = get.url;
  for (int hop = 0;; ++hop) {
    std::string redirect;
    const bool with_token = !get.token.empty() && SameOrigin(url, get.url);
    HttpOutcome outcome = rep_->Once(get, url, with_token, callbacks, &redirect);
    outcome.head.redirected = hop > 0;
    if (redirect.empty()) return outcome;
    outcome.end = HttpEnd::kRefused;
    outcome.reason = RefusedRedirect(url, redirect);
    if (!outcome.reason.empty()) return outcome;
    if (hop == rep_->limits.max_redirects) {
      outcome.reason = "more than " + std::to_string(hop) + " redirects";
      return outcome;
    }
    url = redirect;
  }
}

}  // namespace lull
