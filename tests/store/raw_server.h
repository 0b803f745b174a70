// Answers on 127.0.0.1, byte for byte as a test says, one connection at a time.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

namespace lull {

class RawServer {
 public:
  // From a request's head to all that is sent before the connection is closed; on another thread.
  using AnswerFn = std::function<std::string(const std::string& request)>;

  explicit RawServer(AnswerFn answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 32) != 0)
      return;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~RawServer() {
    shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // The head of an answer; more: further lines, each with its end.
  static std::string Head(int status, size_t bytes, const std::string& more = "") {
    return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + std::to_string(bytes) +
           "\r\n" + more + "Connection: close\r\n\r\n";
  }

 private:
  void Serve() {
    for (;;) {
      const int client = accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      const std::string request = Read(client);
      if (!request.empty()) Send(client, answer_(request));
      close(client);
    }
  }
  static std::string Read(int client) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) return "";
      request.append(buffer, static_cast<size_t>(n));
    }
    return request;
  }
  static void Send(int client, const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = send(client, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  }

  AnswerFn answer_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace lull
