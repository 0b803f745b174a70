// A server of fixed answers in a process of its own, for tests of what talks to servers.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace lull {

class FakeServer {
 public:
  enum class Mode { kAnswer, kError500, kNotJson, kNoChoices, kHangUp, kSilent, kUnhealthy, kDies };
  struct Options {
    Mode mode = Mode::kAnswer;
    bool tell_pid = true;           // in /health
    int64_t burn_ms = 0;            // CPU time an answer costs
    int64_t wait_ms = 0;            // time an answer takes beside it
    bool burn_idle = false;         // uses the CPU without being asked
    double burn_share = 0;          // of one CPU, used by a child of the server all the time
    bool counting_answers = false;  // no two answers are the same
    int new_tokens = 64;            // as its answers say
    bool receipts = false;          // answers carry a receipt of 1 ms CPU time and 1 MB moved
  };

  // One connection at a time, one request each. Requires: no other thread runs.
  explicit FakeServer(const Options& options) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    listen(listener_, 64);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      signal(SIGPIPE, SIG_IGN);
      if (options.burn_share > 0 && fork() == 0) BurnShare(options.burn_share);
      for (;;) Serve(options);
    }
    close(listener_);
  }
  ~FakeServer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  int port() const { return port_; }
  int pid() const { return pid_; }

 private:
  static void SleepMs(int64_t ms) {
    const timespec time = {ms / 1000, ms % 1000 * 1'000'000};
    nanosleep(&time, nullptr);
  }
  static void BurnMs(int64_t ms) {
    const auto cpu_ns = [] {
      timespec ts{};
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
      return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
    };
    for (const int64_t end = cpu_ns() + ms * 1'000'000; cpu_ns() < end;) {
    }
  }
  static int64_t WallNs() {
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
  }
  // What it was kept from using it uses later.
  [[noreturn]] static void BurnShare(double share) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int64_t start = WallNs();
    for (int64_t used_ms = 0;; SleepMs(2)) {
      const double due_ms = share * static_cast<double>(WallNs() - start) / 1e6;
      while (static_cast<double>(used_ms) < due_ms) {
        BurnMs(1);
        ++used_ms;
      }
    }
  }
  static std::string ReadRequest(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
      const ssize_t n = read(fd, buffer, sizeof(buffer));
      if (n <= 0) return text;
      text.append(buffer, static_cast<size_t>(n));
      const size_t head = text.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const size_t length = text.find("Content-Length: ");
      const size_t body = length == std::string::npos || length > head
                              ? 0
                              : static_cast<size_t>(atoll(text.c_str() + length + 16));
      if (text.size() >= head + 4 + body) return text;
    }
  }
  static void Reply(int fd, const char* status, const std::string& body) {
    const std::string text = std::string("HTTP/1.1 ") + status +
                             "\r\nContent-Type: application/json\r\nConnection: close\r\n"
                             "Content-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + body;
    if (write(fd, text.data(), text.size()) < 0) return;
  }

  void Serve(const Options& options) {
    if (options.burn_idle) BurnInsteadOfWaiting();
    const int fd = accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    const std::string request = ReadRequest(fd);
    if (request.rfind("GET /health", 0) == 0) {
      const std::string pid = options.tell_pid ? ",\"pid\":" + std::to_string(getpid()) : "";
      Reply(fd, options.mode == Mode::kUnhealthy ? "503 Service Unavailable" : "200 OK",
            "{\"status\":\"ok\"" + pid + "}");
    } else {
      Complete(options, request, fd);
    }
    close(fd);
  }
  void Complete(const Options& options, const std::string& request, int fd) {
    BurnMs(options.burn_ms);
    SleepMs(options.wait_ms);
    const bool chat = request.rfind("POST /v1/chat/completions", 0) == 0;
    const bool right = request.find("\"max_tokens\":64") != std::string::npos &&
                       request.find("\"temperature\":0") != std::string::npos &&
                       request.find("\"ignore_eos\":true") != std::string::npos &&
                       request.find(chat ? "\"messages\":" : "\"prompt\":") != std::string::npos;
    if (!right) return Reply(fd, "400 Bad Request", "{\"error\":\"unexpected request\"}");
    switch (options.mode) {
      case Mode::kError500:
        return Reply(fd, "500 Internal Server Error", "{\"error\":\"broken\"}");
      case Mode::kNotJson:
        return Reply(fd, "200 OK", "<html>");
      case Mode::kNoChoices:
        return Reply(fd, "200 OK", "{\"choices\":[]}");
      case Mode::kHangUp:
        return;
      case Mode::kSilent:
        SleepMs(60'000);
        return;
      case Mode::kDies:
        _exit(0);
      default:
        break;
    }
    Reply(fd, "200 OK",
          "{\"choices\":[{\"text\":\"benign" +
              (options.counting_answers ? std::to_string(++answers_) : std::string()) + "\"}]," +
              (options.receipts ? "\"lull\":{\"cpu_ms\":1.0,\"bytes_moved\":1000000}," : "") +
              "\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":" +
              std::to_string(options.new_tokens) + "}}");
  }
  void BurnInsteadOfWaiting() {
    timeval timeout = {0, 1000};
    setsockopt(listener_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    BurnMs(5);
  }

  int answers_ = 0;
  int listener_ = -1;
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace lull
