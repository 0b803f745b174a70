#include "service/http/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>

namespace lull {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCodeB = boost::system::error_code;

constexpr int kLingerS = 2;
// What a client may send ahead while it is being answered.
constexpr size_t kMaxPipelinedBytes = size_t{1} << 20;

std::string ReasonOf(int status) {
  return std::string(http::obsolete_reason(static_cast<http::status>(status)));
}

}  // namespace

// Posts every call to the connection's thread. A stale answer (its request is over) is ignored.
class Connection::Answer : public Responder {
 public:
  Answer(std::shared_ptr<Connection> connection, uint64_t number)
      : connection_(std::move(connection)), number_(number) {}
  // An endpoint that forgets to answer must not leave its client waiting.
  ~Answer() override {
    Post([](Connection& c) {
      if (!c.last_queued_) c.Drop();
    });
  }

  void Send(HttpResponse response) override {
    Post([r = std::move(response)](Connection& c) {
      const std::string head =
          c.Head(r.status, r.content_type, static_cast<int64_t>(r.body.size()), r.headers);
      c.Queue(c.head_only_ ? head : head + r.body, true);
    });
  }
  void StartStream(const std::string& content_type) override {
    Post([content_type](Connection& c) {
      if (!c.chunked_) c.keep_alive_ = false;
      c.Queue(c.Head(200, content_type, -1, {{"Cache-Control", "no-cache"}}), false);
    });
  }
  void Write(std::string chunk) override {
    if (chunk.empty()) return;
    Post([chunk = std::move(chunk)](Connection& c) {
      if (!c.chunked_) return c.Queue(chunk, false);
      char size[32];
      snprintf(size, sizeof size, "%zx\r\n", chunk.size());
      c.Queue(size + chunk + "\r\n", false);
    });
  }
  void End() override {
    Post([](Connection& c) { c.Queue(c.chunked_ ? "0\r\n\r\n" : "", true); });
  }
  void OnDisconnect(std::function<void()> fn) override {
    Post([fn = std::move(fn)](Connection& c) {
      if (c.dropped_)
        fn();
      else
        c.on_disconnect_ = fn;
    });
  }

 private:
  template <typename Fn>
  void Post(Fn fn) {
    asio::post(connection_->stream_.get_executor(),
               [connection = connection_, number = number_, fn = std::move(fn)] {
                 if (connection->answer_number_ == number) fn(*connection);
               });
  }
  std::shared_ptr<Connection> connection_;
  uint64_t number_;
};

Connection::Connection(asio::ip::tcp::socket socket, ConnectionHub& hub)
    : stream_(std::move(socket)), hub_(hub), options_(hub.options) {
  hub_.open.fetch_add(1);
  ErrorCodeB ec;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ec);
  // No plain call may wait for a client: the 100 Continue of one that reads nothing is dropped.
  stream_.socket().non_blocking(true, ec);
}

Connection::~Connection() {
  SetAnswering(false);
  hub_.open.fetch_sub(1);
}

void Connection::SetAnswering(bool answering) {
  if (answering_ == answering) return;
  answering_ = answering;
  hub_.answering.fetch_add(answering ? 1 : -1);
}

void Connection::Start() { WaitForRequest(); }

// Idle time and header time have deadlines of their own, so that a client who sends one byte a
// second is cut as soon as one who sends nothing.
void Connection::WaitForRequest() {
  if (buffer_.size() > 0) return ReadHeader();
  stream_.expires_after(std::chrono::seconds(options_.idle_deadline_s));
  stream_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this()](ErrorCodeB ec, size_t bytes) {
                            if (ec) return self->Drop();
                            self->buffer_.commit(bytes);
                            self->ReadHeader();
                          });
}

void Connection::ReadHeader() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(options_.max_header_bytes));
  parser_->body_limit(options_.max_body_bytes);
  stream_.expires_after(std::chrono::seconds(options_.header_deadline_s));
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](ErrorCodeB ec, size_t) {
                            if (ec == http::error::header_limit) return self->RefuseHeader();
                            if (ec == http::error::body_limit) return self->RefuseBody();
                            if (ec == http::error::end_of_stream || ec == beast::error::timeout)
                              return self->Drop();
                            if (ec) return self->Refuse(400, "malformed request: " + ec.message());
                            self->ReadBody();
                          });
}

void Connection::ReadBody() {
  stream_.expires_after(std::chrono::seconds(options_.body_deadline_s));
  if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
    static const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    ErrorCodeB ec;
    stream_.socket().write_some(asio::buffer(kContinue), ec);
  }
  http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](ErrorCodeB ec, size_t) {
    if (ec == http::error::body_limit) return self->RefuseBody();
    if (ec == beast::error::timeout) return self->Drop();
    if (ec) return self->Refuse(400, "malformed request: " + ec.message());
    self->Dispatch();
  });
}

void Connection::Dispatch() {
  const auto& message = parser_->get();
  keep_alive_ = message.keep_alive() && !hub_.draining.load();
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = std::string(message.target());
  request.path.resize(std::min(request.path.size(), request.path.find('?')));
  request.body = std::move(parser_->get().body());
  last_queued_ = false;
  finished_ = false;
  ++answer_number_;
  SetAnswering(true);
  stream_.expires_never();
  WatchForDisconnect();
  const auto answer = std::make_shared<Answer>(shared_from_this(), answer_number_);
  try {  // a handler's third-party exception ends its request, not the server
    hub_.handler(request, answer);
  } catch (const std::exception&) {
    answer->Send({500,
                  "application/json",
                  R"({"error":{"message":"internal error","type":"server_error"}})",
                  {}});
  }
}

// While an answer is computed the connection is read on: its end tells that the client has gone,
// and what comes before is the beginning of the next request.
void Connection::WatchForDisconnect() {
  watching_ = true;
  stream_.socket().async_read_some(
      buffer_.prepare(4096),
      [self = shared_from_this()](ErrorCodeB ec, size_t bytes) { self->OnWatched(ec, bytes); });
}

void Connection::OnWatched(ErrorCodeB ec, size_t bytes) {
  watching_ = false;
  buffer_.commit(bytes);
  if (dropped_) return;
  if (finished_) return AfterAnswer();  // a closed connection shows at the next read
  if (ec || buffer_.size() > kMaxPipelinedBytes) return Drop();
  WatchForDisconnect();
}

void Connection::RefuseHeader() {
  const std::string most = std::to_string(options_.max_header_bytes);
  Refuse(431, "the request's header is longer than " + most + " bytes");
}

void Connection::RefuseBody() {
  const std::string most = std::to_string(options_.max_body_bytes);
  Refuse(413, "the request's body is longer than " + most + " bytes");
}

void Connection::Refuse(int status, const std::string& message) {
  keep_alive_ = false;
  last_queued_ = false;
  finished_ = false;
  ++answer_number_;
  // The messages are fixed texts and numbers: nothing in them needs escaping.
  const std::string body =
      R"({"error":{"message":")" + message +
      R"(","type":"invalid_request_error","param":null,"code":"invalid_input"}})";
  Queue(Head(status, "application/json", static_cast<int64_t>(body.size()), {}) + body, true);
}

std::string Connection::Head(
    int status, const std::string& content_type, int64_t length,
    const std::vector<std::pair<std::string, std::string>>& headers) const {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + ReasonOf(status) + "\r\n";
  head += "Content-Type: " + content_type + "\r\n";
  if (length >= 0)
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  else if (chunked_)
    head += "Transfer-Encoding: chunked\r\n";
  for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
  head += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

void Connection::Queue(std::string bytes, bool last) {
  if (dropped_ || last_queued_) return;
  last_queued_ = last;
  unsent_bytes_ += bytes.size();
  unsent_.push_back(std::move(bytes));
  if (unsent_bytes_ > options_.max_unsent_bytes && unsent_.size() > 1) return Drop();
  if (!writing_) WriteNext();
}

void Connection::WriteNext() {
  writing_ = true;
  stream_.expires_after(std::chrono::seconds(options_.write_deadline_s));
  if (unsent_.front().empty()) {  // the end of a stream that only closing ends
    unsent_.pop_front();
    writing_ = false;
    stream_.expires_never();
    return FinishAnswer();
  }
  asio::async_write(stream_, asio::buffer(unsent_.front()),
                    [self = shared_from_this()](ErrorCodeB ec, size_t) {
                      self->writing_ = false;
                      if (ec || self->dropped_) return self->Drop();
                      self->unsent_bytes_ -= self->unsent_.front().size();
                      self->unsent_.pop_front();
                      if (!self->unsent_.empty()) return self->WriteNext();
                      self->stream_.expires_never();
                      if (self->last_queued_) self->FinishAnswer();
                    });
}

void Connection::FinishAnswer() {
  on_disconnect_ = nullptr;
  SetAnswering(false);
  finished_ = true;
  if (!watching_) return AfterAnswer();
  ErrorCodeB ec;
  stream_.socket().cancel(ec);  // the watch ends, and goes on with AfterAnswer
}

void Connection::AfterAnswer() {
  if (keep_alive_ && !hub_.draining.load()) return WaitForRequest();
  ErrorCodeB ec;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ec);
  stream_.expires_after(std::chrono::seconds(kLingerS));
  DiscardInput();
}

// Closing with unread input would reset the connection, and the client could lose the answer.
void Connection::DiscardInput() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(65536),
                          [self = shared_from_this()](ErrorCodeB ec, size_t) {
                            if (ec) return self->Drop();
                            self->DiscardInput();
                          });
}

void Connection::Drop() {
  if (dropped_) return;
  dropped_ = true;
  SetAnswering(false);
  stream_.close();
  if (!last_queued_ && on_disconnect_) on_disconnect_();
  on_disconnect_ = nullptr;
}

}  // namespace lull
