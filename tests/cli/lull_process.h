// The binary under test as other programs see it.
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace lull {

struct Output {
  int exit_code = -1;
  std::string text;  // stdout
  nlohmann::json json() const { return nlohmann::json::parse(text, nullptr, false); }
};

// What the shell makes of `ENVIRONMENT lull ARGUMENTS`; arguments may redirect.
inline Output RunLull(const std::string& arguments, const std::string& environment = "") {
  const std::string command = environment + " " LULL_BINARY " " + arguments + " 2>/dev/null";
  Output output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char piece[4096];
  for (size_t n; (n = fread(piece, 1, sizeof piece, pipe)) > 0;) output.text.append(piece, n);
  const int status = pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

// `lull serve ARGUMENTS` on a port of its own, until it is destroyed.
class RunningServer {
 public:
  explicit RunningServer(const std::string& arguments) {
    pipe_ = popen(
        (std::string(LULL_BINARY) + " serve " + arguments + " --port 0 --json 2>/dev/null").c_str(),
        "r");
    char line[512] = "";
    if (pipe_ != nullptr && fgets(line, sizeof line, pipe_) != nullptr)
      said_ = nlohmann::json::parse(line, nullptr, false);
  }
  ~RunningServer() {
    if (said_.contains("pid")) kill(said_["pid"].get<int>(), SIGTERM);
    if (pipe_ != nullptr) pclose(pipe_);
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  int port() const { return said_.contains("port") ? said_["port"].get<int>() : 0; }
  const nlohmann::json& said() const { return said_; }  // its one line: the address, or an error

 private:
  FILE* pipe_ = nullptr;
  nlohmann::json said_;
};

}  // namespace lull
