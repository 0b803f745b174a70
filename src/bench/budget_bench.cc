#include "bench/budget_bench.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/os/os.h"
#include "base/os/process.h"
#include "bench/http_client.h"
#include "bench/load.h"
#include "bench/prompts.h"
#include "bench/window_shares.h"
#include "evidence/record.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr double kNs = 1e9;
constexpr int64_t kTickNs = 10 * kMs;
constexpr double kHealthTimeoutS = 10.0;
constexpr int64_t kStartTimeoutNs = 60'000'000'000;
constexpr size_t kDistinctPrompts = 1000;

Status Check(const BudgetBenchOptions& o) {
  const auto usage = [](const char* message, const char* field) {
    return Status(ErrorCode::kUsage, message, field);
  };
  if (o.port < 1 || o.port > 65535) return usage("a port lies between 1 and 65535", "port");
  if (o.concurrency < 1 || o.concurrency > 1024)
    return usage("concurrency lies between 1 and 1024", "concurrency");
  if (!(o.duration_s >= 0 && o.duration_s <= 86400) ||
      !(o.max_duration_s >= 0 && o.max_duration_s <= 86400))
    return usage("a duration lies between 0 and 86400 s", "duration_s");
  if (o.requests < 0 || o.requests > 10'000'000)
    return usage("the requests lie between 0 and 10 million", "requests");
  if (o.requests == 0 && o.duration_s == 0)
    return usage("either requests or a duration is needed", "duration_s");
  if (!(o.arrivals_per_s >= 0 && o.arrivals_per_s <= 1e5))
    return usage("arrivals lie between 0 and 100000 a second", "arrivals_per_s");
  if (!(o.idle_s >= 0 && o.idle_s <= 3600))
    return usage("idle lies between 0 and 3600 s", "idle_s");
  if (!(o.request_timeout_s > 0 && o.request_timeout_s <= 3600))
    return usage("a request timeout lies between 0 and 3600 s", "request_timeout_s");
  if (o.max_tokens < 1) return usage("at least one token", "max_tokens");
  if (o.warmup_requests < 0 || o.warmup_requests > 1000)
    return usage("warm-up requests lie between 0 and 1000", "warmup_requests");
  return Status::Ok();
}

// A server that was just started, whose process is known, may still be loading its model.
Result<HttpReply> WaitForHealth(const BudgetBenchOptions& o) {
  const int64_t deadline_ns = os::MonotonicNs() + kStartTimeoutNs;
  for (;;) {
    Result<HttpReply> health = HttpGet(o.host, o.port, "/health", kHealthTimeoutS);
    const bool ready = health.ok() && health->status != 503;
    const bool starting = o.server_pid > 0 && os::ProcessCpuNsOf(o.server_pid).ok();
    if (ready || !starting || os::MonotonicNs() > deadline_ns) return health;
    os::SleepUntilNs(os::MonotonicNs() + 100'000'000);
  }
}

// The process to watch: as told, as the server says itself, or as the kernel knows.
Result<int> FindServer(const BudgetBenchOptions& o) {
  const Result<HttpReply> reply = WaitForHealth(o);
  if (!reply.ok()) {
    Error error = reply.error();
    error.hint = "start the server first: lull serve MODEL --port " + std::to_string(o.port);
    return error;
  }
  const HttpReply& health = *reply;
  if (health.status != 200) {
    return Status(ErrorCode::kBusy,
                  "the server is not ready: HTTP " + std::to_string(health.status),
                  o.host + ":" + std::to_string(o.port) + "/health");
  }
  if (o.server_pid > 0) return o.server_pid;
  const nlohmann::json json = nlohmann::json::parse(health.body, nullptr, false);
  if (json.is_object() && json.contains("pid") && json["pid"].is_number_integer()) {
    const int64_t pid = json["pid"].get<int64_t>();
    if (pid > 0 && pid <= INT32_MAX) return static_cast<int>(pid);
  }
  return os::PidListeningOn(o.port);
}

LoadOptions LoadOf(const BudgetBenchOptions& o) {
  LoadOptions load;
  load.host = o.host;
  load.port = o.port;
  load.chat = o.chat;
  load.model = o.model;
  load.max_tokens = o.max_tokens;
  load.request_timeout_s = o.request_timeout_s;
  load.concurrency = o.concurrency;
  load.arrivals_per_s = o.arrivals_per_s;
  load.min_requests = o.requests;
  load.min_duration_s = o.duration_s;
  load.max_duration_s = o.max_duration_s > 0 ? o.max_duration_s : 3 * o.duration_s + 300;
  load.seed = o.seed;
  load.cancelled = o.cancelled;
  return load;
}

std::optional<double> Nearest(const std::vector<double>& sorted, double q) {
  const auto estimate = EstimateQuantile(sorted, q);
  return estimate.has_value() ? std::optional<double>(estimate->value) : std::nullopt;
}

class Bench {
 public:
  Bench(const BudgetBenchOptions& options, const BudgetBenchProgressFn& progress)
      : options_(options), progress_(progress) {}

  Result<BudgetBenchReport> Run() {
    LULL_RETURN_IF_ERROR(Start());
    WatchIdle();
    const size_t distinct = std::max<size_t>(kDistinctPrompts, options_.warmup_requests);
    const auto prompts = MakeSecurityPrompts(options_.seed, distinct);
    LULL_RETURN_IF_ERROR(WarmUp());
    LULL_RETURN_IF_ERROR(CheckCancelled());
    const LoadOptions load = LoadOf(options_);
    const os::MachineTimes before = os::ReadMachineTimes();
    const auto show = [&](int64_t done, double passed_s) {
      double share = options_.duration_s > 0 ? passed_s / options_.duration_s : 1.0;
      if (options_.requests > 0)
        share = std::min(share, static_cast<double>(done) / static_cast<double>(options_.requests));
      Tell("load", share, done, passed_s);
    };
    LULL_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(load, prompts, show));
    const os::MachineTimes after = os::ReadMachineTimes();
    sampler_->Stop();
    LULL_RETURN_IF_ERROR(CheckCancelled());
    FillLoad(result);
    FillCpu(result);
    FillMachine(before, after);
    const Result<int64_t> rss = os::PeakRssBytesOf(report_.server_pid);
    if (rss.ok()) report_.peak_rss_bytes = *rss;
    std::vector<std::string> doubts;
    if (sampler_->target_gone()) doubts.push_back("the server ended under the load");
    JudgeBudgetBench(options_.idle_limit, doubts, &report_);
    if (!options_.record_path.empty())
      LULL_RETURN_IF_ERROR(AppendRecord(options_.record_path, ToJson(report_)));
    return report_;
  }

 private:
  Status Start() {
    LULL_RETURN_IF_ERROR(Check(options_));
    LULL_ASSIGN_OR_RETURN(report_.server_pid, FindServer(options_));
    LULL_ASSIGN_OR_RETURN(report_.server_cpus, os::CpusOf(report_.server_pid));
    report_.server = options_.host + ":" + std::to_string(options_.port);
    report_.machine = ReadMachine();
    report_.budget = options_.cpu;
    if (report_.budget.capped() && report_.budget.p99_share <= 0)
      report_.budget.p99_share = std::min(report_.budget.mean_share + 0.15, 1.0);
    report_.concurrency = options_.concurrency;
    report_.arrivals_per_s = options_.arrivals_per_s;
    const double longest_s = options_.idle_s + LoadOf(options_).max_duration_s +
                             (options_.warmup_requests + 2) * options_.request_timeout_s;
    const size_t samples = static_cast<size_t>(longest_s * kNs / kTickNs) + 100;
    LULL_ASSIGN_OR_RETURN(sampler_, os::CpuSampler::Start(report_.server_pid, kTickNs, samples));
    return Status::Ok();
  }

  void WatchIdle() {
    const int64_t begin = os::MonotonicNs();
    const int64_t end = begin + static_cast<int64_t>(options_.idle_s * kNs);
    for (int64_t now = begin; now < end && CheckCancelled().ok(); now = os::MonotonicNs()) {
      const double passed_s = static_cast<double>(now - begin) / kNs;
      Tell("idle", passed_s / options_.idle_s, 0, passed_s);
      os::SleepUntilNs(std::min(now + 100 * kMs, end));
    }
    if (options_.idle_s > 0)
      report_.idle_cpu = MeanShare(sampler_->samples(), begin, end, report_.server_cpus);
  }

  Status WarmUp() {
    if (options_.warmup_requests == 0) return Status::Ok();
    LoadOptions load = LoadOf(options_);
    load.min_requests = options_.warmup_requests;
    load.min_duration_s = 0;
    load.arrivals_per_s = 0;
    load.concurrency = std::min(options_.concurrency, options_.warmup_requests);
    // Other prompts than the load's: nothing of it is in a cache.
    return RunLoad(load,
                   MakeSecurityPrompts(~options_.seed, static_cast<size_t>(load.min_requests)),
                   [&](int64_t done, double passed_s) {
                     Tell("warm-up", static_cast<double>(done) / options_.warmup_requests, done,
                          passed_s);
                   })
        .status();
  }

  void FillLoad(const LoadResult& result) {
    std::vector<double> latencies;
    for (const Answer& answer : result.answers) {
      if (!answer.failure.empty()) {
        ++report_.requests_failed;
        if (report_.first_failure.empty()) report_.first_failure = answer.failure;
        continue;
      }
      ++report_.requests_ok;
      report_.prompt_tokens += answer.prompt_tokens;
      report_.new_tokens += answer.new_tokens;
      latencies.push_back(static_cast<double>(answer.end_ns - answer.begin_ns) / kNs);
    }
    report_.active_s = static_cast<double>(result.end_ns - result.begin_ns) / kNs;
    latencies = Sorted(latencies);
    report_.latency_p50 = EstimateQuantile(latencies, 0.50);
    report_.latency_p95 = EstimateQuantile(latencies, 0.95);
    report_.latency_p99 = EstimateQuantile(latencies, 0.99);
  }

  void FillCpu(const LoadResult& result) {
    const std::vector<os::CpuSample> samples = sampler_->samples();
    const int cpus = report_.server_cpus;
    report_.cpu_mean = MeanShare(samples, result.begin_ns, result.end_ns, cpus);
    const std::vector<double> shares =
        Sorted(WindowShares(samples, result.begin_ns, result.end_ns, 100 * kMs, cpus));
    report_.windows = shares.size();
    report_.window_p50 = Nearest(shares, 0.50);
    report_.window_p95 = Nearest(shares, 0.95);
    report_.window_p99 = Nearest(shares, 0.99);
    if (!shares.empty()) report_.window_max = shares.back();
    report_.window_20ms_p99 = Nearest(
        Sorted(WindowShares(samples, result.begin_ns, result.end_ns, 20 * kMs, cpus)), 0.99);
    if (report_.cpu_mean.has_value() && report_.requests_ok > 0) {
      report_.cpu_s_per_request =
          *report_.cpu_mean * cpus * report_.active_s / static_cast<double>(report_.requests_ok);
    }
  }

  void FillMachine(const os::MachineTimes& before, const os::MachineTimes& after) {
    const double total = static_cast<double>(after.total_ns - before.total_ns);
    if (total <= 0) return;
    report_.steal = static_cast<double>(after.steal_ns - before.steal_ns) / total;
    if (!report_.cpu_mean.has_value()) return;
    const double own = *report_.cpu_mean * report_.server_cpus * report_.active_s * kNs;
    const double busy = static_cast<double>(after.busy_ns - before.busy_ns);
    report_.others = std::max(busy - own, 0.0) / total;
  }

  void Tell(const char* phase, double share, int64_t requests, double elapsed_s) const {
    if (progress_) progress_({phase, std::clamp(share, 0.0, 1.0), requests, elapsed_s});
  }
  Status CheckCancelled() const {
    if (options_.cancelled == nullptr || !options_.cancelled->load()) return Status::Ok();
    return Status(ErrorCode::kCancelled, "the bench was cancelled", "bench budget");
  }

  const BudgetBenchOptions& options_;
  const BudgetBenchProgressFn& progress_;
  BudgetBenchReport report_;
  std::unique_ptr<os::CpuSampler> sampler_;
};

}  // namespace

Result<BudgetBenchReport> RunBudgetBench(const BudgetBenchOptions& options,
                                         const BudgetBenchProgressFn& progress) {
  return Bench(options, progress).Run();
}

}  // namespace lull
