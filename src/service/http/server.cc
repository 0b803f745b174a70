#include "service/http/server.h"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "service/http/connection.h"

namespace lull {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

}  // namespace

struct HttpServer::Rep {
  Rep(const HttpServerOptions& options, HttpHandler handler)
      : acceptor(context), signals(context), retry(context), drain_timer(context) {
    hub.options = options;
    hub.handler = std::move(handler);
  }

  void Accept() {
    acceptor.async_accept([this](boost::system::error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted || hub.draining.load()) return;
      if (ec) return AcceptLater();
      // Beyond the limit the socket is closed unread, which costs nothing.
      if (hub.open.load() < hub.options.max_connections)
        std::make_shared<Connection>(std::move(socket), hub)->Start();
      Accept();
    });
  }

  // Out of file descriptors, say: trying again at once would burn the CPU.
  void AcceptLater() {
    retry.expires_after(std::chrono::milliseconds(100));
    retry.async_wait([this](boost::system::error_code ec) {
      if (!ec && !hub.draining.load()) Accept();
    });
  }

  void WaitForSignal() {
    signals.async_wait([this](boost::system::error_code ec, int) {
      if (ec) return;
      if (hub.draining.load()) return context.stop();
      StartDraining();
      WaitForSignal();
    });
  }

  void StartDraining() {
    if (hub.draining.exchange(true)) return;
    boost::system::error_code ec;
    acceptor.close(ec);
    if (on_drain) on_drain();
    drain_deadline = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                         std::chrono::duration<double>(hub.options.drain_timeout_s));
    CheckDrained();
  }

  // Only while draining: there is no timer otherwise.
  void CheckDrained() {
    if (hub.answering.load() == 0 || std::chrono::steady_clock::now() >= drain_deadline)
      return context.stop();
    drain_timer.expires_after(std::chrono::milliseconds(20));
    drain_timer.async_wait([this](boost::system::error_code ec) {
      if (!ec) CheckDrained();
    });
  }

  ConnectionHub hub;
  std::function<void()> on_drain;
  std::chrono::steady_clock::time_point drain_deadline;
  asio::io_context context{1};
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer retry;
  asio::steady_timer drain_timer;
};

HttpServer::HttpServer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Create(const HttpServerOptions& options,
                                                       HttpHandler handler) {
  auto rep = std::make_unique<Rep>(options, std::move(handler));
  const std::string where = options.address + ":" + std::to_string(options.port);
  boost::system::error_code ec;
  const asio::ip::address address = asio::ip::make_address(options.address, ec);
  if (ec || options.port < 0 || options.port > 65535)
    return Status(ErrorCode::kUsage, "not an address and port to listen on", where,
                  "e.g. 127.0.0.1 and 8080");
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  rep->acceptor.open(endpoint.protocol(), ec);
  if (!ec) rep->acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) rep->acceptor.bind(endpoint, ec);
  if (!ec) rep->acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec)
    return Status(ErrorCode::kIo, "cannot listen: " + ec.message(), where, "choose another --port");
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(rep)));
}

int HttpServer::port() const { return rep_->acceptor.local_endpoint().port(); }

void HttpServer::Run(bool handle_signals, std::function<void()> on_drain) {
  rep_->on_drain = std::move(on_drain);
  if (handle_signals) {
    rep_->signals.add(SIGINT);
    rep_->signals.add(SIGTERM);
    rep_->WaitForSignal();
  }
  rep_->Accept();
  rep_->context.run();
}

void HttpServer::Stop() { rep_->context.stop(); }

void HttpServer::Drain() {
  asio::post(rep_->context, [this] { rep_->StartDraining(); });
}

int HttpServer::connections() const { return rep_->hub.open.load(); }
int HttpServer::answering() const { return rep_->hub.answering.load(); }

}  // namespace lull
