#include "bench/server_info.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/os/os.h"
#include "base/os/process.h"
#include "bench/http_client.h"

namespace lull {
namespace {

constexpr double kTimeoutS = 10.0;
constexpr int64_t kStartTimeoutNs = 600'000'000'000;
constexpr int64_t kPollNs = 100'000'000;

Result<HttpReply> WaitForHealth(const ServerAddress& address) {
  const int64_t deadline_ns = os::MonotonicNs() + kStartTimeoutNs;
  for (;;) {
    Result<HttpReply> health = HttpGet(address.host, address.port, "/health", kTimeoutS);
    const bool ready = health.ok() && health->status != 503;
    const bool starting = address.pid > 0 && os::ProcessCpuNsOf(address.pid).ok();
    if (ready || !starting || os::MonotonicNs() > deadline_ns) return health;
    os::SleepUntilNs(os::MonotonicNs() + kPollNs);
  }
}

}  // namespace

Result<int> FindServer(const ServerAddress& address) {
  const Result<HttpReply> health = WaitForHealth(address);
  if (!health.ok()) {
    Error error = health.error();
    error.hint = "start the server first: lull serve MODEL --port " + std::to_string(address.port);
    return error;
  }
  if (health->status != 200) {
    return Status(ErrorCode::kBusy,
                  "the server is not ready: HTTP " + std::to_string(health->status),
                  address.host + ":" + std::to_string(address.port) + "/health");
  }
  if (address.pid > 0) return address.pid;
  const nlohmann::json json = nlohmann::json::parse(health->body, nullptr, false);
  if (json.is_object() && json.contains("pid") && json["pid"].is_number_integer()) {
    const int64_t pid = json["pid"].get<int64_t>();
    if (pid > 0 && pid <= INT32_MAX) return static_cast<int>(pid);
  }
  return os::PidListeningOn(address.port);
}

Result<TokenCounter> ServerTokenCounter(const ServerAddress& address) {
  TokenCounter counter = [address](const std::string& text) -> Result<int64_t> {
    HttpCall call;
    call.method = "POST";
    call.host = address.host;
    call.port = address.port;
    call.path = "/tokenize";
    call.body = nlohmann::json({{"content", text}}).dump();
    call.key = address.key;
    call.timeout_s = kTimeoutS;
    LULL_ASSIGN_OR_RETURN(const HttpReply reply, HttpSend(call));
    const nlohmann::json json = nlohmann::json::parse(reply.body, nullptr, false);
    if (reply.status != 200 || !json.is_object() || !json.contains("tokens") ||
        !json["tokens"].is_array())
      return Status(ErrorCode::kUnsupported,
                    "the server counts no tokens: HTTP " + std::to_string(reply.status),
                    "/tokenize", "name the model: --tokenizer MODEL");
    return static_cast<int64_t>(json["tokens"].size());
  };
  LULL_RETURN_IF_ERROR(counter("one two").status());
  return counter;
}

std::optional<double> MetricValue(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + " ", 0) != 0) continue;
    std::istringstream value(line.substr(name.size() + 1));
    double number = 0;
    if (value >> number) return number;
  }
  return std::nullopt;
}

std::string ReadMetrics(const ServerAddress& address) {
  const Result<HttpReply> reply =
      HttpGet(address.host, address.port, "/metrics", kTimeoutS, address.key);
  return reply.ok() && reply->status == 200 ? reply->body : std::string();
}

std::optional<double> CgroupCpuSeconds(const std::string& folder) {
  std::ifstream stat(folder + "/cpu.stat");
  std::string key;
  double value = 0;
  while (stat >> key >> value)
    if (key == "usage_usec") return value * 1e-6;
  std::ifstream usage(folder + "/cpuacct.usage");
  if (usage >> value) return value * 1e-9;
  return std::nullopt;
}

}  // namespace lull
