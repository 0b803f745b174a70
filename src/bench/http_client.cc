#include "bench/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

namespace lull {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr uint64_t kMaxBodyBytes = uint64_t{16} << 20;

// Plain blocking calls cannot time out, so each step is an asynchronous one run to its end.
class Exchange {
 public:
  Exchange(const std::string& host, int port, double timeout_s)
      : host_(host),
        port_(std::to_string(port)),
        deadline_(std::chrono::steady_clock::now() +
                  std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000))),
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
    return HttpReply{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
  }

 private:
  void Finish() {
    context_.restart();
    context_.run();
  }
  Status Failed(const char* step, const beast::error_code& error) const {
    return Status(ErrorCode::kIo, std::string("HTTP ") + step + " failed: " + error.message(),
                  host_ + ":" + port_);
  }

  const std::string host_, port_;
  const std::chrono::steady_clock::time_point deadline_;
  asio::io_context context_;
  beast::tcp_stream stream_;
};

Result<HttpReply> Send(const std::string& host, int port, double timeout_s,
                       http::request<http::string_body> request) {
  try {
    return Exchange(host, port, timeout_s).Run(std::move(request));
  } catch (const std::exception& e) {  // Asio and Beast throw on exhausted resources
    return Status(ErrorCode::kIo, std::string("HTTP failed: ") + e.what(), host);
  }
}

}  // namespace

Result<HttpReply> HttpGet(const std::string& host, int port, const std::string& path,
                          double timeout_s, const std::string& api_key) {
  http::request<http::string_body> request(http::verb::get, path, 11);
  if (!api_key.empty()) request.set(http::field::authorization, "Bearer " + api_key);
  return Send(host, port, timeout_s, std::move(request));
}

Result<HttpReply> HttpPostJson(const std::string& host, int port, const std::string& path,
                               const std::string& body, double timeout_s) {
  http::request<http::string_body> request(http::verb::post, path, 11, body);
  request.set(http::field::content_type, "application/json");
  return Send(host, port, timeout_s, std::move(request));
}

}  // namespace lull
