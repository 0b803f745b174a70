// Does a server keep its budget? Asks an OpenAI-compatible server endpoint-security questions,
// watches its processes from another process, and judges each declared line.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/cpu_figures.h"
#include "bench/prompts.h"
#include "bench/server_info.h"
#include "evidence/machine.h"
#include "evidence/quantiles.h"
#include "evidence/verdict.h"
#include "lull/budget.h"
#include "lull/status.h"

namespace lull {

struct BudgetBenchOptions {
  ServerAddress server;
  std::string server_cgroup;   // a folder whose own account of CPU time bears witness; empty: none
  bool chat = false;           // /v1/chat/completions, else /v1/completions
  std::string model = "lull";  // sent as "model"
  int max_tokens = 64;

  std::vector<int> prompt_lengths = {40, 80, 160, 320, 640};
  size_t distinct_prompts = 1000;  // used again from the first on after the last
  // Counts a prompt's tokens. Empty: the server's /tokenize, and where it has none an estimate, so
  // that the lengths are not exact.
  TokenCounter counter;

  int64_t requests = 400;     // the load lasts for at least so many requests ...
  double duration_s = 120.0;  // ... and at least so long,
  double max_duration_s = 0;  // but begins no request later than this; 0: 3 * duration + 300
  int concurrency = 1;        // requests outstanding at once
  double arrivals_per_s = 0;  // 0: each client asks again at once; else Poisson arrivals, and a
                              // latency counts from the arrival
  int warmup_requests = 5;
  double idle_s = 60.0;  // watched before the load; 0: not at all
  double request_timeout_s = 120.0;
  uint64_t seed = 1;

  // What is to be kept. What is not declared is measured, not judged.
  Budget budget;
  double p99_20ms_share = 0;  // of 20 ms windows; 0: not judged
  double used_share = 0;      // of the allowed CPU, at least, while work waits; 0: not judged
  double idle_limit = 0.001;
  int64_t sampler_period_ns = 10'000'000;
  const std::atomic<bool>* cancelled = nullptr;
};

struct BudgetBenchProgress {
  const char* phase = "";  // "prompts", "idle", "warm-up", "load"
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
  Budget budget;
  double p99_20ms_share = 0, used_share = 0;
  int concurrency = 0;
  double arrivals_per_s = 0;

  double active_s = 0;  // first request sent to last answer
  int64_t requests_ok = 0;
  int64_t requests_failed = 0;
  std::string first_failure;
  int64_t prompt_tokens = 0;  // as the server counted them
  int64_t new_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompts', as the server says
  // What keeps this run from being the endpoint load: exact lengths 40, 80, 160, 320, 640, cold
  // cache, 64 tokens, at least 120 s and 400 answers. Empty: it is that load.
  std::vector<std::string> not_endpoint;

  CpuFigures cpu;
  std::optional<double> cpu_s;         // in the active phase, the server's descendants included
  std::optional<double> cgroup_cpu_s;  // the same by the control group
  std::optional<double> used;          // of the allowed CPU, while a request was under way
  std::optional<double> idle_cpu;
  std::optional<double> steal;   // of the whole machine, in the active phase
  std::optional<double> others;  // CPU of everything else on the machine, of the whole machine

  std::optional<QuantileEstimate> latency_p50, latency_p95, latency_p99;  // seconds
  std::optional<double> cpu_s_per_request;
  std::optional<int64_t> peak_rss_bytes;  // of the server's process
  std::optional<int64_t> peak_pss_bytes;  // of it and its descendants, read once a second

  // As the server says: sums of receipts, and its counter of bytes.
  std::optional<double> receipts_cpu_s, receipts_throttled_s;
  std::optional<double> bus_bytes_per_s;

  std::vector<VerdictLine> verdicts;
  Verdict overall = Verdict::kUnproven;
};

// Blocks until the bench is done. An error where the server cannot be reached or watched; failed
// requests are part of the report.
Result<BudgetBenchReport> RunBudgetBench(const BudgetBenchOptions& options,
                                         const BudgetBenchProgressFn& progress = {});

// Fills report->verdicts and ->overall from its figures. doubts: reasons why no CPU figure counts,
// beside those that the figures themselves give.
void JudgeBudgetBench(double idle_limit, const std::vector<std::string>& doubts,
                      BudgetBenchReport* report);

nlohmann::json ToJson(const BudgetBenchReport& report);

}  // namespace lull
