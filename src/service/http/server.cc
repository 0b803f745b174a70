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
  Rep(const HttpServerOptions& o, HttpHandler h)
      : options(o), handler(std::move(h)), acceptor(context), signals(context), retry(context) {}

  void Accept() {
    acceptor.async_accept([this](boost::system::error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (ec) return AcceptLater();
      // Beyond the limit the socket is closed unread, which costs nothing.
      if (connections.load() < options.max_connections)
        std::make_shared<Connection>(std::move(socket), options, handler, connections)->Start();
      Accept();
    });
  }

  // Out of file descriptors, say: trying again at once would burn the CPU.
  void AcceptLater() {
    retry.expires_after(std::chrono::milliseconds(100));
    retry.async_wait([this](boost::system::error_code ec) {
      if (!ec) Accept();
    });
  }

  HttpServerOptions options;
  HttpHandler handler;
  std::atomic<int> connections{0};
  asio::io_context context{1};
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer retry;
};

HttpServer::HttpServer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Create(const HttpServerOptions& options, HttpHandler handler) {
  auto rep = std::make_unique<Rep>(options, std::move(handler));
  const std::string where = options.address + ":" + std::to_string(options.port);
  boost::system::error_code ec;
  const asio::ip::address address = asio::ip::make_address(options.address, ec);
  if (ec || options.port < 0 || options.port > 65535)
    return Status(ErrorCode::kUsage, "not an address and port to listen on", where, "e.g. 127.0.0.1 and 8080");
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  rep->acceptor.open(endpoint.protocol(), ec);
  if (!ec) rep->acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) rep->acceptor.bind(endpoint, ec);
  if (!ec) rep->acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot listen: " + ec.message(), where, "choose another --port");
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(rep)));
}

int HttpServer::port() const { return rep_->acceptor.local_endpoint().port(); }

void HttpServer::Run(bool handle_signals) {
  if (handle_signals) {
    rep_->signals.add(SIGINT);
    rep_->signals.add(SIGTERM);
    rep_->signals.async_wait([this](boost::system::error_code ec, int) {
      if (!ec) rep_->context.stop();
    });
  }
  rep_->Accept();
  rep_->context.run();
}

void HttpServer::Stop() { rep_->context.stop(); }

int HttpServer::connections() const { return rep_->connections.load(); }

}  // namespace lull
