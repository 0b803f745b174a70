#include "service/http/connection.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>

#include "base/os/os.h"

namespace lull {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr int kLingerS = 2;
// What a client may send ahead while it is being answered; more waits in its socket.
constexpr size_t kMaxAheadBytes = size_t{64} << 10;
// A buffer that a long header or body left behind is not kept for the next request.
constexpr size_t kMaxKeptBytes = 4096;
// Beside what is counted one by one: the socket, timers, and of TLS its buffers.
constexpr int64_t kPlainStreamBytes = 1 << 10;
constexpr int64_t kTlsStreamBytes = 40 << 10;

std::string ReasonOf(int status) {
  return std::string(http::obsolete_reason(static_cast<http::status>(status)));
}

// The texts are fixed and numbers: nothing in them needs escaping.
std::string ErrorBody(const char* type, const char* code, const std::string& message) {
  return std::string(R"({"error":{"message":")") + message + R"(","type":")" + type +
         R"(","param":null,"code":")" + code + R"("}})";
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// http://HOST/PATH is as good as /PATH with Host: HOST, and what it names counts (RFC 9112, 3.2.2).
void ReadAbsoluteForm(HttpHead* head) {
  constexpr std::string_view kScheme = "http://";
  if (!beast::iequals(head->path.substr(0, kScheme.size()), kScheme)) return;
  const size_t end = std::min(head->path.find('/', kScheme.size()), head->path.size());
  const std::string host = head->path.substr(kScheme.size(), end - kScheme.size());
  head->path = end < head->path.size() ? head->path.substr(end) : "/";
  for (auto& [name, value] : head->fields)
    if (name == "host") value = host;
}

HttpHead HeadOf(const http::request<http::string_body>& message) {
  HttpHead head;
  head.method = std::string(message.method_string());
  head.path = std::string(message.target());
  const size_t mark = head.path.find('?');
  if (mark != std::string::npos) {
    head.query = head.path.substr(mark + 1);
    head.path.resize(mark);
  }
  head.http_1_1 = message.version() >= 11;
  for (const auto& field : message)
    head.fields.push_back({LowerCase({field.name_string().data(), field.name_string().size()}),
                           std::string(field.value())});
  ReadAbsoluteForm(&head);
  return head;
}

// Where the body of another encoding ends is not known: what a proxy takes for a body would be read
// as the next request.
bool IsReadableEncoding(const HttpHead& head) {
  const auto encodings = head.Values("transfer-encoding");
  if (encodings.empty()) return true;
  return head.http_1_1 && encodings.size() == 1 && beast::iequals(encodings.front(), "chunked");
}

// An empty line before a request is no part of it (RFC 9112, 2.2); half of one waits for the rest.
void DropEmptyLines(std::string* input) {
  size_t end = 0;
  while (input->compare(end, 2, "\r\n") == 0) end += 2;
  input->erase(0, end);
}

}  // namespace

// Posts every call to the connection's thread. A stale answer (its request is over) is ignored.
class Connection::Answer : public Responder {
 public:
  Answer(std::shared_ptr<Connection> connection, uint64_t number)
      : connection_(std::move(connection)), number_(number) {}
  // An endpoint that forgets to answer must not leave its client waiting.
  ~Answer() override {
    if (ended_) return;
    try {
      Post([](Connection& c) {
        if (!c.last_queued_) c.Close();
      });
    } catch (const std::exception&) {  // no memory to say so: the client is left to its patience
    }
  }

  void Send(HttpResponse response) override {
    Post([r = std::move(response)](Connection& c) { c.Respond(r); });
    ended_ = true;
  }
  void StartStream(const std::string& content_type, HttpFields headers) override {
    headers.push_back({"Cache-Control", "no-cache"});
    Post([content_type, headers = std::move(headers)](Connection& c) {
      if (!c.chunked_) c.keep_alive_ = false;
      c.stream_type_ = content_type;
      c.Queue(c.Head(200, content_type, -1, headers), false);
    });
  }
  void Write(std::string chunk) override {
    if (chunk.empty()) return;
    Post([chunk = std::move(chunk)](Connection& c) {
      if (!c.head_only_) c.Queue(c.Piece(chunk), false);
    });
  }
  void End() override {
    Post([](Connection& c) { c.QueueEnd(); });
    ended_ = true;
  }
  void OnDisconnect(std::function<void()> fn) override {
    Post([fn = std::move(fn)](Connection& c) {
      if (c.last_queued_) return;
      if (c.state_ == State::kClosed) return fn();
      c.on_disconnect_ = fn;
      if (c.input_ended_) c.Close();
    });
  }

 private:
  template <typename Fn>
  void Post(Fn fn) {
    asio::post(connection_->stream_->executor(),
               [connection = connection_, number = number_, fn = std::move(fn)] {
                 if (connection->answer_number_ != number) return;
                 connection->Guarded([&] { fn(*connection); });
               });
  }
  std::shared_ptr<Connection> connection_;
  uint64_t number_;
  std::atomic<bool> ended_{false};
};

Connection::Connection(std::unique_ptr<ByteStream> stream, ConnectionHub& hub)
    : stream_(std::move(stream)), hub_(hub), options_(hub.options), timer_(stream_->executor()) {
  place_ = hub_.waiting.insert(hub_.waiting.end(), this);
  hub_.open.fetch_add(1);
  Hold(static_cast<int64_t>(sizeof(*this)) +
       (options_.tls_certificate.empty() ? kPlainStreamBytes : kTlsStreamBytes));
}

// Only what ends with the whole server comes here unclosed: nobody is left to be told of it.
Connection::~Connection() {
  on_disconnect_ = nullptr;
  Close();
}

void Connection::Start() {
  SetDeadline(options_.header_deadline_s);
  stream_->Handshake([self = shared_from_this()](Error ec) {
    if (ec) return self->Close();
    if (self->state_ == State::kHandshake) self->Guarded([&] { self->WaitForRequest(); });
  });
}

// The list it stands in follows from the state, and so does whether it counts as being answered.
void Connection::Enter(State state) {
  const auto list_of = [this](State s) -> std::list<Connection*>* {
    return s == State::kHandshake || s == State::kIdle || s == State::kHeader ? &hub_.waiting
                                                                              : &hub_.busy;
  };
  if (state_ == State::kClosed) return;
  std::list<Connection*>* from = list_of(state_);
  state_ = state;
  if (state == State::kClosed)
    from->erase(place_);
  else if (list_of(state) != from)
    list_of(state)->splice(list_of(state)->end(), *from, place_);
  const bool answering = state == State::kAnswering;
  if (answering != counted_) hub_.answering.fetch_add(answering ? 1 : -1);
  counted_ = answering;
}

// In `seconds` OnDeadline is called, unless another deadline is set before; 0: none.
void Connection::SetDeadline(int seconds) {
  const uint64_t number = ++deadline_number_;
  timer_.cancel();
  if (seconds == 0) return;
  timer_.expires_after(std::chrono::seconds(seconds));
  timer_.async_wait([weak = weak_from_this(), number](Error ec) {
    const std::shared_ptr<Connection> self = weak.lock();
    if (!ec && self != nullptr && self->deadline_number_ == number)
      self->Guarded([&] { self->OnDeadline(); });
  });
}

void Connection::OnDeadline() {
  switch (state_) {
    case State::kHeader:
      return Refuse(408, "the request's header did not arrive within " +
                             std::to_string(options_.header_deadline_s) + " seconds");
    case State::kBody:
      return CheckBodyProgress();
    case State::kAnswering:
      return CheckWriteProgress();
    default:
      return Close();
  }
}

void Connection::Read() {
  reading_ = true;
  stream_->Read([self = shared_from_this()](Error ec, std::string_view bytes) {
    self->reading_ = false;
    self->Guarded([&] { self->OnRead(ec, bytes); });
  });
}

void Connection::OnRead(Error ec, std::string_view bytes) {
  if (state_ == State::kClosed) return;
  if (ec) return OnInputEnd(ec);
  if (state_ == State::kLingering) {
    discarded_bytes_ += bytes.size();
    if (discarded_bytes_ > 2 * options_.max_body_bytes) return Close();
  } else {
    input_.append(bytes);
  }
  Advance();
}

// The client sends no more. One that has been read to the end of its request may still wait for
// the answer; what was begun for it is cancelled, since most that end are gone.
void Connection::OnInputEnd(Error ec) {
  input_ended_ = true;
  const bool orderly = ec == asio::error::eof;
  if (state_ == State::kBody && orderly)
    return Refuse(400, "malformed request: it ends before its body does");
  if (state_ == State::kAnswering && orderly && on_disconnect_ == nullptr) return;
  Close();
}

bool Connection::WantsInput() const {
  if (input_ended_ || state_ == State::kClosed || state_ == State::kHandshake) return false;
  return state_ != State::kAnswering || input_.size() < kMaxAheadBytes;
}

void Connection::BeginHeader() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(options_.max_header_bytes));
  parser_->body_limit(options_.max_body_bytes);
  Enter(State::kHeader);
  SetDeadline(options_.header_deadline_s);
}

void Connection::Advance() {
  if (state_ == State::kIdle) {
    DropEmptyLines(&input_);
    const bool begun = !input_.empty() && input_ != "\r";
    if (!begun && input_ended_) return Close();
    if (begun) BeginHeader();
  }
  if (state_ == State::kHeader || state_ == State::kBody) Parse();
  if (!reading_ && WantsInput()) Read();
}

// Idle time and header time have deadlines of their own, so that a client who sends one byte a
// second is cut as soon as one who sends nothing.
void Connection::WaitForRequest() {
  parser_.reset();
  if (input_.empty() && input_.capacity() > kMaxKeptBytes) input_ = std::string();
  Enter(State::kIdle);
  SetDeadline(options_.idle_deadline_s);
  Advance();
}

void Connection::Parse() {
  while (state_ == State::kHeader || state_ == State::kBody) {
    Error ec;
    const bool had_header = parser_->is_header_done();
    const size_t parsed = parser_->put(asio::buffer(input_), ec);
    input_.erase(0, parsed);
    received_bytes_ += parsed;
    if (ec == http::error::need_more && input_.size() <= options_.max_header_bytes) break;
    if (ec) return RefuseUnparsed(ec);
    if (!had_header && !OnHeader()) return;
    if (had_header && !ChargeBody(parser_->get().body().size())) return;
    if (parser_->is_done()) return Dispatch();
    if (input_.empty() || (had_header && parsed == 0)) break;
  }
  if (input_ended_ && state_ == State::kHeader) Close();
  if (input_ended_ && state_ == State::kBody) OnInputEnd(asio::error::eof);
}

// What the header alone decides. False: the request is answered already.
bool Connection::OnHeader() {
  const auto& message = parser_->get();
  keep_alive_ = message.keep_alive() && !hub_.draining.load();
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  HttpHead head = HeadOf(message);
  if (!IsReadableEncoding(head)) {
    Refuse(400, "the only Transfer-Encoding that is read is chunked, of HTTP/1.1");
    return false;
  }
  HttpVerdict verdict = hub_.gate ? hub_.gate(head) : HttpVerdict();
  answer_fields_ = std::move(verdict.headers);
  request_ = HttpRequest();
  request_.method = std::move(head.method);
  request_.path = std::move(head.path);
  request_.query = std::move(head.query);
  request_.account = std::move(verdict.account);
  request_.admin = verdict.admin;
  request_.fields = std::move(head.fields);
  if (verdict.refusal) {
    keep_alive_ = keep_alive_ && parser_->is_done();
    BeginAnswer();
    Respond(*verdict.refusal);
    return false;
  }
  if (parser_->is_done()) return true;
  const auto encoding = message[http::field::content_encoding];
  if (!encoding.empty() && !beast::iequals(encoding, "identity")) {
    Refuse(415, "compressed bodies are not read");
    return false;
  }
  if (const auto length = parser_->content_length(); length && !ChargeBody(*length)) return false;
  Enter(State::kBody);
  parser_->eager(true);
  body_seconds_ = 0;
  received_bytes_ = 0;
  SetDeadline(options_.progress_check_s);
  if (input_.empty() && beast::iequals(message[http::field::expect], "100-continue")) {
    last_queued_ = false;
    Queue("HTTP/1.1 100 Continue\r\n\r\n", false);
  }
  return true;
}

void Connection::Hold(int64_t more_bytes) {
  held_bytes_ += more_bytes;
  if (options_.held_bytes != nullptr) *options_.held_bytes += more_bytes;
}

// Counts the request's body as that long; false: refused, since all bodies together are too much.
bool Connection::ChargeBody(size_t bytes) {
  if (bytes <= charged_bytes_) return true;
  const size_t more = bytes - charged_bytes_;
  if (hub_.body_bytes + more > options_.max_total_body_bytes) {
    Refuse(503, "too many bytes of requests at once");
    return false;
  }
  charged_bytes_ = bytes;
  hub_.body_bytes += more;
  Hold(static_cast<int64_t>(more));
  return true;
}

void Connection::ReleaseBody() {
  hub_.body_bytes -= charged_bytes_;
  Hold(-static_cast<int64_t>(charged_bytes_));
  charged_bytes_ = 0;
}

size_t Connection::BytesBetweenChecks() const {
  return options_.min_bytes_per_s * static_cast<size_t>(options_.progress_check_s);
}

// A slow sender may take its time, one that trickles may not.
void Connection::CheckBodyProgress() {
  body_seconds_ += options_.progress_check_s;
  const bool trickles = received_bytes_ < BytesBetweenChecks();
  if (trickles || body_seconds_ >= options_.body_deadline_s)
    return Refuse(408, "the request's body arrives too slowly");
  received_bytes_ = 0;
  SetDeadline(options_.progress_check_s);
}

void Connection::BeginAnswer() {
  last_queued_ = false;
  stream_type_.clear();
  ++answer_number_;
  checked_sent_bytes_ = 0;
  write_check_set_ = false;
  SetDeadline(0);
  Enter(State::kAnswering);
}

void Connection::Dispatch() {
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  BeginAnswer();
  const auto answer = std::make_shared<Answer>(shared_from_this(), answer_number_);
  try {  // a handler's third-party exception ends its request, not the server
    hub_.handler(std::exchange(request_, HttpRequest()), answer);
  } catch (const std::exception&) {
    answer->Send(
        {500, "application/json", ErrorBody("server_error", "internal", "internal error"), {}});
  }
}

void Connection::Respond(const HttpResponse& response) {
  const std::string head = Head(response.status, response.content_type,
                                static_cast<int64_t>(response.body.size()), response.headers);
  Queue(head_only_ ? head : head + response.body, true);
}

void Connection::RefuseUnparsed(Error ec) {
  if (ec == http::error::header_limit || ec == http::error::need_more)
    return Refuse(431, "the request's header is longer than " +
                           std::to_string(options_.max_header_bytes) + " bytes");
  if (ec == http::error::body_limit)
    return Refuse(413, "the request's body is longer than " +
                           std::to_string(options_.max_body_bytes) + " bytes");
  Refuse(400, "malformed request: " + ec.message());
}

// Without having read all of the request: the connection ends with the answer.
void Connection::Refuse(int status, const std::string& message) {
  keep_alive_ = false;
  BeginAnswer();
  HttpResponse response;
  response.status = status;
  const bool load = status == 503;
  response.body = load ? ErrorBody("server_error", "busy", message)
                       : ErrorBody("invalid_request_error", "invalid_input", message);
  if (load) response.headers.push_back({"Retry-After", "1"});
  Respond(response);
}

std::string Connection::Head(int status, const std::string& content_type, int64_t length,
                             const HttpFields& headers) const {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + ReasonOf(status) + "\r\n";
  if (!content_type.empty()) head += "Content-Type: " + content_type + "\r\n";
  if (length >= 0)
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  else if (chunked_)
    head += "Transfer-Encoding: chunked\r\n";
  for (const HttpFields* fields : {&headers, &answer_fields_})
    for (const auto& [name, value] : *fields) head += name + ": " + value + "\r\n";
  head += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string Connection::Piece(const std::string& bytes) const {
  if (!chunked_) return bytes;
  char size[32];
  snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

void Connection::Queue(std::string bytes, bool last) {
  if (state_ == State::kClosed || last_queued_) return;
  last_queued_ = last;
  if (last) on_disconnect_ = nullptr;
  unsent_bytes_ += bytes.size();
  Hold(static_cast<int64_t>(bytes.size()));
  unsent_.push_back(std::move(bytes));
  if (unsent_bytes_ > options_.max_unsent_bytes && unsent_.size() > 1) return Close();
  if (!writing_) WriteNext();
}

void Connection::QueueEnd() { Queue(chunked_ && !head_only_ ? "0\r\n\r\n" : "", true); }

void Connection::WriteNext() {
  while (!unsent_.empty() && front_sent_bytes_ == unsent_.front().size()) {
    unsent_bytes_ -= unsent_.front().size();
    Hold(-static_cast<int64_t>(unsent_.front().size()));
    unsent_.pop_front();
    front_sent_bytes_ = 0;
  }
  if (unsent_.empty()) {
    writing_ = false;
    if (last_queued_ && state_ == State::kAnswering) FinishAnswer();
    return;
  }
  if (!std::exchange(writing_, true)) write_began_ns_ = os::MonotonicNs();
  if (state_ == State::kAnswering && !std::exchange(write_check_set_, true))
    SetDeadline(options_.progress_check_s);
  stream_->Write(std::string_view(unsent_.front()).substr(front_sent_bytes_),
                 [self = shared_from_this()](Error ec, size_t bytes) {
                   self->Guarded([&] { self->OnWritten(ec, bytes); });
                 });
}

void Connection::OnWritten(Error ec, size_t bytes) {
  if (state_ == State::kClosed) return;
  if (ec) return Close();
  front_sent_bytes_ += bytes;
  checked_sent_bytes_ += bytes;
  WriteNext();
}

// A write that waits for its reader since the last look must have got on since.
void Connection::CheckWriteProgress() {
  const int64_t waited_ns = os::MonotonicNs() - write_began_ns_;
  const bool stalls = checked_sent_bytes_ < BytesBetweenChecks();
  const int64_t enough_ns = int64_t{options_.progress_check_s} * 900'000'000;
  if (writing_ && stalls && waited_ns >= enough_ns) return Close();
  checked_sent_bytes_ = 0;
  write_check_set_ = writing_;
  if (writing_) SetDeadline(options_.progress_check_s);
}

void Connection::FinishAnswer() {
  on_disconnect_ = nullptr;
  ReleaseBody();
  answer_fields_.clear();
  stream_type_.clear();
  SetDeadline(0);
  if (keep_alive_ && !hub_.draining.load()) return WaitForRequest();
  Linger();
}

// Closing with unread input would reset the connection, and the client could lose the answer.
void Connection::Linger() {
  parser_.reset();
  input_ = std::string();
  Enter(State::kLingering);
  SetDeadline(kLingerS);
  stream_->EndWriting([self = shared_from_this()](Error) {});
  if (input_ended_) return Close();
  Advance();
}

bool Connection::CutShort() {
  if (state_ != State::kAnswering || last_queued_) return false;
  keep_alive_ = false;
  const std::string body =
      ErrorBody("server_error", "cancelled", "the server stopped before the answer was complete");
  std::function<void()> cancel = std::exchange(on_disconnect_, nullptr);
  if (stream_type_.empty()) {
    Respond({503, "application/json", body, {{"Retry-After", "1"}}});
  } else {
    const bool events = stream_type_.starts_with("text/event-stream");
    Queue(Piece(events ? "data: " + body + "\n\n" : body + "\n"), false);
    QueueEnd();
  }
  if (cancel != nullptr) cancel();
  return true;
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  Enter(State::kClosed);
  hub_.open.fetch_sub(1);
  SetDeadline(0);
  ReleaseBody();
  Hold(-held_bytes_);
  stream_->Close();
  if (!last_queued_ && on_disconnect_ != nullptr) on_disconnect_();
  on_disconnect_ = nullptr;
}

}  // namespace lull
