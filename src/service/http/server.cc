#include "service/http/server.h"

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "base/os/limits.h"
#include "service/http/connection.h"

namespace lull {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCodeB = boost::system::error_code;
using Clock = std::chrono::steady_clock;

// For the last words of answers that draining cuts.
constexpr auto kLastWords = std::chrono::seconds(1);
constexpr auto kBreath = std::chrono::milliseconds(10);
// Files that the rest of the process may need beside the connections.
constexpr int kOtherFiles = 64;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

Status LoadCertificate(const HttpServerOptions& options, asio::ssl::context* context) {
  using Tls = asio::ssl::context;
  ErrorCodeB ec;
  context->set_options(Tls::default_workarounds | Tls::no_tlsv1 | Tls::no_tlsv1_1 |
                           Tls::no_compression | SSL_OP_NO_RENEGOTIATION |
                           SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF,
                       ec);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  context->use_certificate_chain_file(options.tls_certificate, ec);
  if (ec)
    return Status(ErrorCode::kUsage, "cannot use the certificate: " + ec.message(),
                  options.tls_certificate, "a PEM file, the server's own certificate first");
  context->use_private_key_file(options.tls_key, Tls::pem, ec);
  if (ec || SSL_CTX_check_private_key(context->native_handle()) != 1)
    return Status(ErrorCode::kUsage,
                  "cannot use the key: " + (ec ? ec.message() : "it is not the certificate's"),
                  options.tls_key, "a PEM file without a passphrase");
  return Status();
}

}  // namespace

struct HttpServer::Rep {
  Rep(const HttpServerOptions& options, HttpHandler handler, HttpGate gate)
      : acceptor(context), signals(context), retry(context), drain_timer(context) {
    hub.options = options;
    hub.handler = std::move(handler);
    hub.gate = std::move(gate);
    const int files = static_cast<int>(std::min<int64_t>(os::OpenFileLimit(), 1 << 20));
    hub.options.max_connections =
        std::max(1, std::min(options.max_connections, files - kOtherFiles));
  }

  void Accept() {
    acceptor.async_accept([this](ErrorCodeB ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted || hub.draining.load()) return;
      accepting = false;
      if (ec) return AcceptLater();
      if (MakeRoom(socket)) {
        auto stream = tls ? MakeTlsStream(std::move(socket), *tls)
                          : MakePlainStream(std::move(socket), hub.scratch);
        std::make_shared<Connection>(std::move(stream), hub)->Start();
      }
      Accept();
    });
    accepting = true;
  }

  // Until it is stopped. What throws past its connection, for want of memory say, is taken up
  // again.
  void Run() {
    // Else a throw that leaves nothing to wait for would count as the end.
    const auto work = asio::make_work_guard(context);
    for (;;) {
      try {
        if (hub.draining.load())
          CheckDrained();
        else if (!accepting)
          Accept();
        context.run();
        return;
      } catch (const std::exception&) {
        // Whether the throw took the waiting accept with it is not known: it is begun anew.
        ErrorCodeB ec;
        acceptor.cancel(ec);
        accepting = false;
        std::this_thread::sleep_for(kBreath);
      }
    }
  }

  // False: every client there is being answered, and this one is sent away.
  bool MakeRoom(tcp::socket& socket) {
    if (hub.open.load() < hub.options.max_connections) return true;
    if (!hub.waiting.empty()) {
      hub.waiting.front()->Close();
      return true;
    }
    static const std::string kBusy =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n";
    ErrorCodeB ec;
    socket.non_blocking(true, ec);
    if (!tls) socket.write_some(asio::buffer(kBusy), ec);
    return false;
  }

  // Out of file descriptors, say: trying again at once would burn the CPU.
  void AcceptLater() {
    retry.expires_after(std::chrono::milliseconds(100));
    retry.async_wait([this](ErrorCodeB ec) {
      if (ec || hub.draining.load()) return;
      accepting = false;
      Accept();
    });
    accepting = true;
  }

  void WaitForSignal() {
    signals.async_wait([this](ErrorCodeB ec, int) {
      if (ec) return;
      if (hub.draining.load()) return context.stop();
      StartDraining();
      WaitForSignal();
    });
  }

  void StartDraining() {
    if (hub.draining.exchange(true)) return;
    ErrorCodeB ec;
    acceptor.close(ec);
    while (!hub.waiting.empty()) hub.waiting.front()->Close();
    if (on_drain) on_drain();
    drain_deadline = Clock::now() + Seconds(hub.options.drain_timeout_s);
    CheckDrained();
  }

  // Only while draining: there is no timer otherwise.
  void CheckDrained() {
    const auto now = Clock::now();
    if (hub.answering.load() == 0 || now >= drain_deadline + kLastWords) return context.stop();
    if (now >= drain_deadline)
      for (Connection* connection : std::vector(hub.busy.begin(), hub.busy.end()))
        if (connection->CutShort()) cut_short.fetch_add(1);
    drain_timer.expires_after(std::chrono::milliseconds(20));
    drain_timer.async_wait([this](ErrorCodeB ec) {
      if (!ec) CheckDrained();
    });
  }

  void Repeat(asio::steady_timer& timer, double seconds, const std::function<void()>& fn) {
    timer.expires_after(Seconds(seconds));
    timer.async_wait([this, &timer, seconds, fn](ErrorCodeB ec) {
      if (ec) return;
      Repeat(timer, seconds, fn);  // first: fn may throw
      fn();
    });
  }

  ConnectionHub hub;
  std::function<void()> on_drain;
  Clock::time_point drain_deadline;
  std::atomic<int> cut_short{0};
  bool accepting = false;  // a client, or the time to try again, is waited for
  std::optional<asio::ssl::context> tls;
  asio::io_context context{1};
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer retry;
  asio::steady_timer drain_timer;
  std::list<asio::steady_timer> repeating;
};

HttpServer::HttpServer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Create(const HttpServerOptions& options,
                                                       HttpHandler handler, HttpGate gate) {
  auto rep = std::make_unique<Rep>(options, std::move(handler), std::move(gate));
  if (!options.tls_certificate.empty()) {
    rep->tls.emplace(asio::ssl::context::tls_server);
    LULL_RETURN_IF_ERROR(LoadCertificate(options, &*rep->tls));
  }
  const std::string where = options.address + ":" + std::to_string(options.port);
  ErrorCodeB ec;
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
  rep_->Run();
}

void HttpServer::Stop() { rep_->context.stop(); }

void HttpServer::Drain() {
  asio::post(rep_->context, [this] { rep_->StartDraining(); });
}

void HttpServer::Every(double seconds, std::function<void()> fn) {
  rep_->Repeat(rep_->repeating.emplace_back(rep_->context), seconds, fn);
}

int HttpServer::connections() const { return rep_->hub.open.load(); }
int HttpServer::answering() const { return rep_->hub.answering.load(); }
int HttpServer::cut_short() const { return rep_->cut_short.load(); }

}  // namespace lull
