// A client that sends bytes as they are, for tests of the server.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

namespace lull {

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  nlohmann::ordered_json json() const;
};
Reply ReplyOf(const std::string& text);

// Blocking. Errors of sending are ignored: the server may refuse before it has read all.
class Client {
 public:
  explicit Client(int port);
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(const std::string& bytes);
  // All that came until the mark has come, or the server has closed.
  std::string ReadUntil(const std::string& mark);
  // Until the server closes.
  std::string ReadAll();
  // The answer of a connection that is kept, by its Content-Length; what follows is kept too.
  Reply ReadReply();
  void Close();
  void EndSending();
  void Reset();
  // What the server may send before it has to wait.
  void LimitReceiving(int bytes);

 private:
  bool ReadSome();

  int socket_;
  std::string text_;
};

std::string RequestText(const std::string& method, const std::string& path,
                        const std::string& body);

// Waits at most half a minute.
template <typename Fn>
bool Soon(Fn&& fn) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fn() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return fn();
}

}  // namespace lull
