// One client connection: reads a request, hands it on, writes the answer, and again.
// Everything runs on the server's one thread, except the Responder calls, which post to it.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <memory>
#include <optional>

#include "service/http/message.h"
#include "service/http/server.h"

namespace lull {

// What the connections of one server share. Outlives them.
struct ConnectionHub {
  HttpServerOptions options;
  HttpHandler handler;
  std::atomic<int> open{0};
  std::atomic<int> answering{0};      // a request is there and its answer has not been sent
  std::atomic<bool> draining{false};  // no connection is kept for another request
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionHub& hub);
  ~Connection();
  void Start();

 private:
  class Answer;  // the Responder of one request

  void WaitForRequest();
  void ReadHeader();
  void ReadBody();
  void Dispatch();
  void WatchForDisconnect();
  void OnWatched(boost::system::error_code ec, size_t bytes);
  void SetAnswering(bool answering);
  void Refuse(int status, const std::string& message);
  void RefuseHeader();
  void RefuseBody();
  void Queue(std::string bytes, bool last);
  void WriteNext();
  void FinishAnswer();
  void AfterAnswer();
  void DiscardInput();
  void Drop();
  // The header of an answer; length < 0: a stream, chunked or until the connection closes.
  std::string Head(int status, const std::string& content_type, int64_t length,
                   const std::vector<std::pair<std::string, std::string>>& headers) const;

  boost::beast::tcp_stream stream_;
  ConnectionHub& hub_;
  const HttpServerOptions& options_;
  boost::beast::flat_buffer buffer_;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  std::optional<Parser> parser_;
  std::deque<std::string> unsent_;
  size_t unsent_bytes_ = 0;
  bool writing_ = false;
  bool last_queued_ = false;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool chunked_ = false;   // the client knows chunked encoding
  bool watching_ = false;  // a read is open that tells when the client goes
  bool finished_ = false;  // the answer is sent, and only the watch is still to end
  bool answering_ = false;
  bool dropped_ = false;
  uint64_t answer_number_ = 0;  // which request is being answered
  std::function<void()> on_disconnect_;
};

}  // namespace lull
