#include "bench/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace lull {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr uint64_t kMaxBodyBytes = uint64_t{16} << 20;

// Plain blocking calls cannot time out, so each step is an asynchronous one run to its end.
class Exchange {
 public:
  explicit Exchange(const HttpCall& call)
      : host_(call.host),
        port_(std::to_string(call.port)),
        deadline_(std::chrono::steady_clock::now() +
                  std::chrono::milliseconds(static_cast<int64_t>(call.timeout_s * 1000))),
        cancelled_(call.cancelled),
        stream_(context_) {}

  Result<HttpReply> Run(http::request<http::string_body> request) {
    request.set(http::field::host, host_ + ":" + port_);
    request.set(http::field::connection, "close");
    request.prepare_payload();
    beast::error_code error;
    asio::ip::tcp::resolver resolver(context_);
    const auto endpoints = resolver.resolve(host_, port_, error);
    if (error) return Failed("resolve", error);
    stream_.expires_at(deadline_);
    stream_.async_connect(endpoints, [&](beast::error_code e, const auto&) { error = e; });
    if (Finish(); error) return Failed("connect", error);
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
    http::async_write(stream_, request, [&](beast::error_code e, size_t) { error = e; });
    if (Finish(); error) return Failed("send", error);
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaxBodyBytes);
    http::async_read(stream_, buffer, parser, [&](beast::error_code e, size_t) { error = e; });
    if (Finish(); error) return Failed("receive", error);
    const auto retry = parser.get().find(http::field::retry_after);
    const int retry_s = retry == parser.get().end() ? 0 : atoi(std::string(retry->value()).c_str());
    return HttpReply{static_cast<int>(parser.get().result_int()), std::move(parser.get().body()),
                     std::clamp(retry_s, 0, 3600)};
  }

 private:
  void Finish() {
    context_.restart();
    if (cancelled_ == nullptr) {
      context_.run();
      return;
    }
    while (!context_.stopped()) {
      context_.run_for(std::chrono::milliseconds(100));
      if (cancelled_->load()) stream_.close();
    }
  }
  Status Failed(const char* step, const beast::error_code& error) const {
    return Status(ErrorCode::kIo, std::string("HTTP ") + step + " failed: " + error.message(),
                  host_ + ":" + port_);
  }

  const std::string host_, port_;
  const std::chrono::steady_clock::time_point deadline_;
  const std::atomic<bool>* const cancelled_;
  asio::io_context context_;
  beast::tcp_stream stream_;
};

}  // namespace

Result<HttpReply> HttpSend(const HttpCall& call) {
  http::request<http::string_body> request(http::string_to_verb(call.method), call.path, 11,
                                           call.body);
  if (!call.body.empty()) request.set(http::field::content_type, "application/json");
  if (!call.key.empty()) request.set(http::field::authorization, "Bearer " + call.key);
  try {
    return Exchange(call).Run(std::move(request));
  } catch (const std::exception& e) {  // Asio and Beast throw on exhausted resources
    return Status(ErrorCode::kIo, std::string("HTTP failed: ") + e.what(), call.host);
  }
}

Result<HttpReply> HttpGet(const std::string& host, int port, const std::string& path,
                          double timeout_s, const std::string& api_key) {
  HttpCall call;
  call.host = host;
  call.port = port;
  call.path = path;
  call.key = api_key;
  call.timeout_s = timeout_s;
  return HttpSend(call);
}

Result<HttpReply> HttpPostJson(const std::string& host, int port, const std::string& path,
                               const std::string& body, double timeout_s,
                               const std::string& api_key) {
  HttpCall call;
  call.method = "POST";
  call.host = host;
  call.port = port;
  call.path = path;
  call.body = body;
  call.key = api_key;
  call.timeout_s = timeout_s;
  return HttpSend(call);
}

}  // namespace lull
