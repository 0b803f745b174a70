// What a server can be asked beside completions: its process, its tokenizer, its metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bench/prompts.h"
#include "lull/status.h"

namespace lull {

struct ServerAddress {
  std::string host = "127.0.0.1";
  int port = 0;
  std::string key;  // of its API; empty: none
  int pid = 0;      // 0: "pid" of GET /health, else the process that listens on the port
};

// The process to watch, once the server is ready: one whose process is known may still be loading
// its model and is waited for. kIo where nothing answers, kBusy where it is not ready.
Result<int> FindServer(const ServerAddress& address);

// POST /tokenize {"content": text}, as llama.cpp and Lull have it; kUnsupported where the server
// has no such thing.
Result<TokenCounter> ServerTokenCounter(const ServerAddress& address);

// The value of a metric without labels in Prometheus text; nothing where it is missing.
std::optional<double> MetricValue(const std::string& text, const std::string& name);

// The metrics of a server; empty where it has none.
std::string ReadMetrics(const ServerAddress& address);

// CPU seconds of a control group, by cpu.stat (version 2) or cpuacct.usage; nothing where the
// folder has neither.
std::optional<double> CgroupCpuSeconds(const std::string& folder);

}  // namespace lull
