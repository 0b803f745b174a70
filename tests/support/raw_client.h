// A client that sends bytes as they are, for tests of the server.
#pragma once

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

namespace lull {

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  nlohmann::ordered_json json() const {
    return nlohmann::ordered_json::parse(body, nullptr, false);
  }
};

inline Reply ReplyOf(const std::string& text) {
  Reply reply;
  const size_t split = text.find("\r\n\r\n");
  if (split == std::string::npos) return reply;
  reply.head = text.substr(0, split);
  reply.body = text.substr(split + 4);
  reply.status = atoi(reply.head.c_str() + 9);
  return reply;
}

// Blocking. Errors of sending are ignored: the server may refuse before it has read all.
class Client {
 public:
  explicit Client(int port) : socket_(context_) {
    socket_.connect({boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)});
  }
  void Send(const std::string& bytes) {
    boost::system::error_code ec;
    boost::asio::write(socket_, boost::asio::buffer(bytes), ec);
  }
  std::string ReadUntil(const std::string& mark) {
    boost::system::error_code ec;
    boost::asio::read_until(socket_, boost::asio::dynamic_buffer(text_), mark, ec);
    return text_;
  }
  // Until the server closes.
  std::string ReadAll() {
    boost::system::error_code ec;
    std::array<char, 4096> piece;
    for (;;) {
      const size_t n = socket_.read_some(boost::asio::buffer(piece), ec);
      if (ec) return text_;
      text_.append(piece.data(), n);
    }
  }
  // The answer of a connection that is kept, by its Content-Length; what follows is kept too.
  Reply ReadReply() {
    ReadUntil("\r\n\r\n");
    Reply reply = ReplyOf(text_);
    const size_t at = reply.head.find("Content-Length: ");
    const size_t length = at == std::string::npos ? 0 : strtoul(&reply.head[at + 16], nullptr, 10);
    const size_t end = reply.head.size() + 4 + length;
    boost::system::error_code ec;
    if (text_.size() < end)
      boost::asio::read(socket_, boost::asio::dynamic_buffer(text_),
                        boost::asio::transfer_exactly(end - text_.size()), ec);
    reply.body = text_.substr(reply.head.size() + 4, length);
    text_.erase(0, end);
    return reply;
  }
  void Close() { socket_.close(); }
  void EndSending() {
    boost::system::error_code ec;
    socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ec);
  }
  void Reset() {
    socket_.set_option(boost::asio::socket_base::linger(true, 0));
    socket_.close();
  }
  // What the server may send before it has to wait.
  void LimitReceiving(int bytes) {
    socket_.set_option(boost::asio::socket_base::receive_buffer_size(bytes));
  }

 private:
  boost::asio::io_context context_;
  boost::asio::ip::tcp::socket socket_;
  std::string text_;
};

inline std::string RequestText(const std::string& method, const std::string& path,
                               const std::string& body) {
  return method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Waits at most half a minute.
template <typename Fn>
bool Soon(Fn&& fn) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fn() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return fn();
}

}  // namespace lull
