// A small HTTP/1.1 server on one thread: idle and streaming clients cost a buffer, not a thread.
// Total deadlines for header and body, limits on both, slow readers are cut.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lull/status.h"
#include "service/http/message.h"

namespace lull {

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any free one
  size_t max_header_bytes = 16 << 10;
  size_t max_body_bytes = 8 << 20;
  size_t max_unsent_bytes = 4 << 20;  // a client that reads slower than this is cut
  int max_connections = 512;
  int header_deadline_s = 10;
  int body_deadline_s = 30;
  int idle_deadline_s = 75;     // between requests of one connection
  int write_deadline_s = 30;    // for one piece of an answer
  double drain_timeout_s = 10;  // for the answers under way when a signal comes
};

// Called on the server's thread; must not block for long.
using HttpHandler = std::function<void(const HttpRequest&, std::shared_ptr<Responder>)>;

class HttpServer {
 public:
  // Binds at once. An address that is taken or not ours is kIo.
  static Result<std::unique_ptr<HttpServer>> Create(const HttpServerOptions& options,
                                                    HttpHandler handler);
  ~HttpServer();

  int port() const;
  // Serves until Stop or the end of Drain. handle_signals: SIGINT and SIGTERM drain, a second one
  // stops at once. on_drain, if any, is called on the server's thread when draining begins.
  void Run(bool handle_signals, std::function<void()> on_drain = nullptr);
  void Stop();  // at once; thread-safe
  // Accepts no more connections, answers what is there and stops, after drain_timeout_s at the
  // latest. Thread-safe.
  void Drain();
  int answering() const;    // requests without a complete answer; thread-safe
  int connections() const;  // thread-safe

 private:
  struct Rep;
  explicit HttpServer(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
