// A small HTTP/1.1 server on one thread: idle and streaming clients cost a buffer, not a thread.
// Every phase of a request has a limit and a deadline; slow senders and readers are cut. Over TLS
// where a certificate is given.
#pragma once

#include <atomic>
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
  size_t max_total_body_bytes = 64 << 20;  // of all requests that are read or answered
  size_t max_unsent_bytes = 4 << 20;       // a client that reads slower than this is cut
  // Fewer where the process may not open so many files. Beyond it the client that has waited
  // longest without a complete header is cut.
  int max_connections = 4096;
  int header_deadline_s = 10;  // for all of it
  int body_deadline_s = 120;   // for all of it
  int idle_deadline_s = 75;    // between requests of one connection
  // Of a body, or of an answer that waits for its reader; looked at every progress_check_s. One
  // that stalls is cut within twice that.
  size_t min_bytes_per_s = 4096;
  int progress_check_s = 5;
  double drain_timeout_s = 10;  // for the answers under way when a signal comes
  // What connections hold (their own state, requests, unsent answers) is added here and taken away
  // again; outlives the server. null: not told.
  std::atomic<int64_t>* held_bytes = nullptr;
  std::string tls_certificate;  // path of a PEM chain; empty: no TLS
  std::string tls_key;          // path of its PEM key
};

// Called on the server's thread; must not block for long.
using HttpHandler = std::function<void(const HttpRequest&, std::shared_ptr<Responder>)>;

class HttpServer {
 public:
  // Binds at once. An address that is taken or not ours is kIo; a certificate that cannot be used
  // is kUsage. gate, if any, is asked about every request before its body is read.
  static Result<std::unique_ptr<HttpServer>> Create(const HttpServerOptions& options,
                                                    HttpHandler handler, HttpGate gate = nullptr);
  ~HttpServer();

  int port() const;
  // Serves until Stop or the end of Drain. handle_signals: SIGINT and SIGTERM drain, a second one
  // stops at once. on_drain, if any, is called on the server's thread when draining begins.
  void Run(bool handle_signals, std::function<void()> on_drain = nullptr);
  void Stop();  // at once; thread-safe
  // Accepts no more connections, answers what is there and stops. What is not answered after
  // drain_timeout_s ends with an error: 503, or a last event in a stream. Thread-safe.
  void Drain();
  // Before Run: has fn called on the server's thread every `seconds`.
  void Every(double seconds, std::function<void()> fn);
  int answering() const;    // requests without a complete answer; thread-safe
  int connections() const;  // thread-safe
  int cut_short() const;    // answers that the end of Drain cut; thread-safe

 private:
  struct Rep;
  explicit HttpServer(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
