// Does a server keep its CPU budget? Asks an OpenAI-compatible server endpoint-security questions,
// watches its process from another process, and judges.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evidence/machine.h"
#include "evidence/quantiles.h"
#include "evidence/verdict.h"
#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

struct BudgetBenchOptions {
  std::string host = "127.0.0.1";
  int port = 0;
  int server_pid = 0;          // 0: "pid" of GET /health, else the process that listens on the port
  bool chat = true;            // /v1/chat/completions, else /v1/completions
  std::string model = "lull";  // sent as "model"
  int max_tokens = 64;

  int64_t requests = 0;       // the load lasts for at least so many requests ...
  double duration_s = 60.0;   // ... and at least so long,
  double max_duration_s = 0;  // but begins no request later than this; 0: 3 * duration + 300
  int concurrency = 1;        // requests outstanding at once
  double arrivals_per_s = 0;  // 0: each client asks again at once; else Poisson arrivals, and a
                              // latency counts from the arrival
  int warmup_requests = 5;
  double idle_s = 5.0;  // watched before the load; 0: not at all
  double request_timeout_s = 120.0;
  uint64_t seed = 1;

  CpuBudget cpu;  // what is to be kept; uncapped: measured, not judged
  double idle_limit = 0.02;
  std::string record_path;  // empty: no record
  const std::atomic<bool>* cancelled = nullptr;
};

struct BudgetBenchProgress {
  const char* phase = "";  // "idle", "warm-up", "load"
  double share = 0.0;      // of the phase, 0 to 1
  int64_t requests = 0;    // answered in this phase
  double elapsed_s = 0.0;
};
// Called about ten times a second on the caller's thread.
using BudgetBenchProgressFn = std::function<void(const BudgetBenchProgress&)>;

// Shares are of all CPUs the server may use: 0.35 for 35 %. Absent: could not be measured.
struct BudgetBenchReport {
  std::string server;  // host:port
  int server_pid = 0;
  int server_cpus = 0;
  Machine machine;
  CpuBudget budget;
  int concurrency = 0;
  double arrivals_per_s = 0;

  double active_s = 0;  // first request sent to last answer
  int64_t requests_ok = 0;
  int64_t requests_failed = 0;
  std::string first_failure;
  int64_t prompt_tokens = 0;  // as the server counted them
  int64_t new_tokens = 0;

  std::optional<double> cpu_mean;
  size_t windows = 0;  // sliding 100 ms windows
  std::optional<double> window_p50, window_p95, window_p99, window_max;
  std::optional<double> window_20ms_p99;
  std::optional<double> idle_cpu;
  std::optional<double> steal;   // of the whole machine, in the active phase
  std::optional<double> others;  // CPU of everything else on the machine, of the whole machine

  std::optional<QuantileEstimate> latency_p50, latency_p95, latency_p99;  // seconds
  std::optional<double> cpu_s_per_request;
  std::optional<int64_t> peak_rss_bytes;

  std::vector<VerdictLine> verdicts;
  Verdict overall = Verdict::kUnproven;
};

// Blocks until the bench is done; appends the record last. An error where the server cannot be
// reached or watched; failed requests are part of the report.
Result<BudgetBenchReport> RunBudgetBench(const BudgetBenchOptions& options,
                                         const BudgetBenchProgressFn& progress = {});

// Fills report->verdicts and ->overall from its figures. doubts: reasons why no CPU figure counts.
void JudgeBudgetBench(double idle_limit, const std::vector<std::string>& doubts,
                      BudgetBenchReport* report);

nlohmann::json ToJson(const BudgetBenchReport& report);

}  // namespace lull
