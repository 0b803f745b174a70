#include "tests/support/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace lull {

nlohmann::ordered_json Reply::json() const {
  return nlohmann::ordered_json::parse(body, nullptr, false);
}

Reply ReplyOf(const std::string& text) {
  Reply reply;
  const size_t split = text.find("\r\n\r\n");
  if (split == std::string::npos) return reply;
  reply.head = text.substr(0, split);
  reply.body = text.substr(split + 4);
  reply.status = atoi(reply.head.c_str() + 9);
  return reply;
}

Client::Client(int port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Close();
    throw std::runtime_error("cannot connect to port " + std::to_string(port));
  }
}

void Client::Send(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;
    sent += static_cast<size_t>(n);
  }
}

bool Client::ReadSome() {
  std::array<char, 4096> piece;
  const ssize_t n = recv(socket_, piece.data(), piece.size(), 0);
  if (n <= 0) return false;
  text_.append(piece.data(), static_cast<size_t>(n));
  return true;
}

std::string Client::ReadUntil(const std::string& mark) {
  while (text_.find(mark) == std::string::npos && ReadSome()) {
  }
  return text_;
}

std::string Client::ReadAll() {
  while (ReadSome()) {
  }
  return text_;
}

Reply Client::ReadReply() {
  ReadUntil("\r\n\r\n");
  Reply reply = ReplyOf(text_);
  const size_t at = reply.head.find("Content-Length: ");
  const size_t length = at == std::string::npos ? 0 : strtoul(&reply.head[at + 16], nullptr, 10);
  const size_t end = reply.head.size() + 4 + length;
  while (text_.size() < end && ReadSome()) {
  }
  if (text_.size() < reply.head.size() + 4) return reply;
  reply.body = text_.substr(reply.head.size() + 4, length);
  text_.erase(0, end);
  return reply;
}

void Client::Close() {
  if (const int socket = std::exchange(socket_, -1); socket >= 0) close(socket);
}

void Client::EndSending() { shutdown(socket_, SHUT_WR); }

void Client::Reset() {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  Close();
}

void Client::LimitReceiving(int bytes) {
  setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

std::string RequestText(const std::string& method, const std::string& path,
                        const std::string& body) {
  return method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace lull
