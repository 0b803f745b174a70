// One client connection: reads a request, hands it on, writes the answer, and again.
// Everything runs on the server's one thread, except the Responder calls, which post to it.
#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "service/http/byte_stream.h"
#include "service/http/message.h"
#include "service/http/server.h"

namespace lull {

class Connection;

// What the connections of one server share. Outlives them.
struct ConnectionHub {
  HttpServerOptions options;
  HttpGate gate;
  HttpHandler handler;
  ReadScratch scratch;
  std::list<Connection*> waiting;  // without a complete header, the longest first
  std::list<Connection*> busy;     // the others
  size_t body_bytes = 0;           // of all requests that are read or answered
  std::atomic<int> open{0};
  std::atomic<int> answering{0};      // a request is there and its answer has not been sent
  std::atomic<bool> draining{false};  // no connection is kept for another request
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::unique_ptr<ByteStream> stream, ConnectionHub& hub);
  ~Connection();
  void Start();
  // At once, whatever was under way.
  void Close();
  // Ends an answer under way with an error that its client can tell from an end; false: none is.
  bool CutShort();

 private:
  class Answer;  // the Responder of one request
  enum class State { kHandshake, kIdle, kHeader, kBody, kAnswering, kLingering, kClosed };
  using Error = boost::system::error_code;

  // Runs fn; one that throws, for want of memory say, ends this connection alone.
  template <typename Fn>
  void Guarded(Fn&& fn) {
    try {
      fn();
    } catch (const std::exception&) {
      Close();
    }
  }
  void Enter(State state);
  void SetDeadline(int seconds);
  void OnDeadline();

  void Read();
  void OnRead(Error ec, std::string_view bytes);
  void OnInputEnd(Error ec);
  bool WantsInput() const;
  void BeginHeader();
  void Advance();

  void WaitForRequest();
  void Parse();
  bool OnHeader();
  void Hold(int64_t more_bytes);
  bool ChargeBody(size_t bytes);
  void ReleaseBody();
  size_t BytesBetweenChecks() const;
  void CheckBodyProgress();
  void Dispatch();
  void BeginAnswer();
  void Respond(const HttpResponse& response);
  void Refuse(int status, const std::string& message);
  void RefuseUnparsed(Error ec);

  void Queue(std::string bytes, bool last);
  void QueueEnd();
  void WriteNext();
  void OnWritten(Error ec, size_t bytes);
  void CheckWriteProgress();
  void FinishAnswer();
  void Linger();
  // The header of an answer; length < 0: a stream, chunked or until the connection closes.
  std::string Head(int status, const std::string& content_type, int64_t length,
                   const HttpFields& headers) const;
  // A piece of a stream as it goes over the wire.
  std::string Piece(const std::string& bytes) const;

  std::unique_ptr<ByteStream> stream_;
  ConnectionHub& hub_;
  const HttpServerOptions& options_;
  boost::asio::steady_timer timer_;
  uint64_t deadline_number_ = 0;  // tells a timer's stale call from the one that was set last
  State state_ = State::kHandshake;
  std::list<Connection*>::iterator place_;  // in hub_.waiting or hub_.busy

  std::string input_;  // read and not yet parsed
  bool reading_ = false;
  bool input_ended_ = false;
  size_t discarded_bytes_ = 0;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  std::optional<Parser> parser_;
  HttpRequest request_;        // filled while it is read
  HttpFields answer_fields_;   // what the gate adds to the answer
  int64_t held_bytes_ = 0;     // of options_.held_bytes
  size_t charged_bytes_ = 0;   // of hub_.body_bytes
  size_t received_bytes_ = 0;  // of the body since the last check
  int body_seconds_ = 0;       // since the body began

  std::deque<std::string> unsent_;
  size_t unsent_bytes_ = 0;
  size_t front_sent_bytes_ = 0;    // of unsent_.front()
  size_t checked_sent_bytes_ = 0;  // since the last check of the reader's speed
  int64_t write_began_ns_ = 0;
  bool write_check_set_ = false;
  bool writing_ = false;
  bool last_queued_ = true;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool chunked_ = false;        // the client knows chunked encoding
  bool counted_ = false;        // in hub_.answering
  std::string stream_type_;     // of the stream that has begun, else empty
  uint64_t answer_number_ = 0;  // which request is being answered
  std::function<void()> on_disconnect_;
};

}  // namespace lull
