#include "bench/budget_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/os/os.h"
#include "base/os/process.h"
#include "bench/load.h"
#include "bench/window_shares.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr double kNs = 1e9;
constexpr int64_t kMemoryPeriodNs = 1'000'000'000;
constexpr double kEndpointSeconds = 120;
constexpr int64_t kEndpointAnswers = 400;
constexpr double kCgroupTolerance = 0.02;

Status Check(const BudgetBenchOptions& o) {
  const auto usage = [](const char* message, const char* field) {
    return Status(ErrorCode::kUsage, message, field);
  };
  if (o.server.port < 1 || o.server.port > 65535)
    return usage("a port lies between 1 and 65535", "port");
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
  if (o.distinct_prompts < 1 || o.distinct_prompts > 100'000)
    return usage("the distinct prompts lie between 1 and 100000", "distinct_prompts");
  return Status::Ok();
}

LoadPlan LoadOf(const BudgetBenchOptions& o) {
  LoadPlan load;
  load.server = o.server;
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

// Of the CPU that the budget allows, the share used while requests were under way.
std::optional<double> UsedShare(const std::vector<os::CpuSample>& samples,
                                const std::vector<Answer>& answers, int cpus, double allowed) {
  double used_s = 0, busy_s = 0;
  for (const auto& [begin, end] : BusyStretches(answers)) {
    const double stretch_s = static_cast<double>(end - begin) / kNs;
    const std::optional<double> share = MeanShare(samples, begin, end, cpus);
    if (!share.has_value()) continue;
    used_s += *share * stretch_s;
    busy_s += stretch_s;
  }
  if (busy_s <= 0 || allowed <= 0) return std::nullopt;
  return used_s / busy_s / allowed;
}

class Bench {
 public:
  Bench(const BudgetBenchOptions& options, const BudgetBenchProgressFn& progress)
      : options_(options), progress_(progress) {}

  Result<BudgetBenchReport> Run() {
    LULL_RETURN_IF_ERROR(Start());
    LULL_RETURN_IF_ERROR(WritePrompts());
    LULL_RETURN_IF_ERROR(StartSampler());
    WatchIdle();
    LULL_RETURN_IF_ERROR(WarmUp());
    LULL_RETURN_IF_ERROR(CheckCancelled());
    const LoadPlan load = LoadOf(options_);
    const Readings before = Read();
    const auto show = [&](int64_t done, double passed_s) {
      double share = options_.duration_s > 0 ? passed_s / options_.duration_s : 1.0;
      if (options_.requests > 0)
        share = std::min(share, static_cast<double>(done) / static_cast<double>(options_.requests));
      Tell("load", share, done, passed_s);
    };
    LULL_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(load, prompts_, show));
    const Readings after = Read();
    sampler_->Stop();
    LULL_RETURN_IF_ERROR(CheckCancelled());
    FillLoad(result);
    FillCpu(result);
    FillMachine(before.machine, after.machine);
    FillServersOwn(result, before, after);
    FillMemory();
    FillEndpoint(result);
    JudgeBudgetBench(options_.idle_limit, Doubts(), &report_);
    return report_;
  }

 private:
  struct Readings {
    os::MachineTimes machine;
    std::optional<double> cgroup_cpu_s;
    std::optional<double> bytes_moved;
    int64_t at_ns = 0;
  };

  Readings Read() const {
    Readings readings;
    const std::string metrics = ReadMetrics(options_.server);
    readings.bytes_moved = MetricValue(metrics, "lull_bytes_moved_total");
    readings.machine = os::ReadMachineTimes();
    if (!options_.server_cgroup.empty())
      readings.cgroup_cpu_s = CgroupCpuSeconds(options_.server_cgroup);
    readings.at_ns = os::MonotonicNs();
    return readings;
  }

  Status Start() {
    LULL_RETURN_IF_ERROR(Check(options_));
    LULL_ASSIGN_OR_RETURN(report_.server_pid, FindServer(options_.server));
    LULL_ASSIGN_OR_RETURN(report_.server_cpus, os::CpusOf(report_.server_pid));
    report_.server = options_.server.host + ":" + std::to_string(options_.server.port);
    report_.machine = ReadMachine();
    report_.budget = options_.budget;
    CpuBudget& cpu = report_.budget.cpu;
    if (cpu.capped() && cpu.p99_share <= 0) cpu.p99_share = std::min(cpu.mean_share + 0.15, 1.0);
    report_.p99_20ms_share = options_.p99_20ms_share;
    report_.used_share = options_.used_share;
    report_.concurrency = options_.concurrency;
    report_.arrivals_per_s = options_.arrivals_per_s;
    return Status::Ok();
  }

  Status WritePrompts() {
    Tell("prompts", 0.0, 0, 0.0);
    PromptOptions prompts;
    prompts.lengths = options_.prompt_lengths;
    prompts.counter = options_.counter;
    if (!prompts.counter) {
      Result<TokenCounter> counter = ServerTokenCounter(options_.server);
      if (counter.ok()) prompts.counter = *counter;
    }
    exact_lengths_ = prompts.counter != nullptr;
    prompts.seed = options_.seed;
    prompts.count = options_.distinct_prompts;
    LULL_ASSIGN_OR_RETURN(prompts_, MakeSecurityPrompts(prompts));
    // Other prompts than the load's: nothing of it is in a cache.
    prompts.seed = ~options_.seed;
    prompts.count = static_cast<size_t>(std::max(options_.warmup_requests, 1));
    LULL_ASSIGN_OR_RETURN(warmup_prompts_, MakeSecurityPrompts(prompts));
    return CheckCancelled();
  }

  Status StartSampler() {
    const double longest_s = options_.idle_s + LoadOf(options_).max_duration_s +
                             (options_.warmup_requests + 2) * options_.request_timeout_s;
    os::SamplerOptions sampler;
    sampler.period_ns = options_.sampler_period_ns;
    sampler.max_samples =
        static_cast<size_t>(longest_s * kNs / static_cast<double>(sampler.period_ns)) + 100;
    sampler.memory_period_ns = kMemoryPeriodNs;
    LULL_ASSIGN_OR_RETURN(sampler_, os::CpuSampler::Start(report_.server_pid, sampler));
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
    LoadPlan load = LoadOf(options_);
    load.min_requests = options_.warmup_requests;
    load.min_duration_s = 0;
    load.arrivals_per_s = 0;
    load.concurrency = std::min(options_.concurrency, options_.warmup_requests);
    const auto show = [&](int64_t done, double passed_s) {
      Tell("warm-up", static_cast<double>(done) / options_.warmup_requests, done, passed_s);
    };
    return RunLoad(load, warmup_prompts_, show).status();
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
      report_.cached_tokens += answer.cached_tokens;
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
    report_.cpu =
        AnalyzeCpu(samples, result.begin_ns, result.end_ns, options_.sampler_period_ns, cpus);
    if (report_.budget.cpu.capped())
      report_.used = UsedShare(samples, result.answers, cpus, report_.budget.cpu.mean_share);
    if (!report_.cpu.mean.has_value()) return;
    report_.cpu_s = *report_.cpu.mean * cpus * report_.active_s;
    if (report_.requests_ok > 0)
      report_.cpu_s_per_request = *report_.cpu_s / static_cast<double>(report_.requests_ok);
  }

  void FillMachine(const os::MachineTimes& before, const os::MachineTimes& after) {
    const double total = static_cast<double>(after.total_ns - before.total_ns);
    if (total <= 0) return;
    report_.steal = static_cast<double>(after.steal_ns - before.steal_ns) / total;
    if (!report_.cpu_s.has_value()) return;
    const double busy = static_cast<double>(after.busy_ns - before.busy_ns);
    report_.others = std::max(busy - *report_.cpu_s * kNs, 0.0) / total;
  }

  void FillServersOwn(const LoadResult& result, const Readings& before, const Readings& after) {
    double cpu_s = 0, throttled_s = 0, bytes = 0;
    int64_t receipts = 0;
    for (const Answer& answer : result.answers) {
      if (!answer.receipt.has_value()) continue;
      ++receipts;
      cpu_s += answer.receipt->cpu_ms / 1000;
      throttled_s += answer.receipt->throttled_ms / 1000;
      bytes += answer.receipt->bytes_moved;
    }
    if (receipts > 0 && receipts == report_.requests_ok) {
      report_.receipts_cpu_s = cpu_s;
      report_.receipts_throttled_s = throttled_s;
      if (bytes > 0 && report_.active_s > 0) report_.bus_bytes_per_s = bytes / report_.active_s;
    }
    const double passed_s = static_cast<double>(after.at_ns - before.at_ns) / kNs;
    if (before.bytes_moved.has_value() && after.bytes_moved.has_value() && passed_s > 0)
      report_.bus_bytes_per_s = (*after.bytes_moved - *before.bytes_moved) / passed_s;
    if (before.cgroup_cpu_s.has_value() && after.cgroup_cpu_s.has_value())
      report_.cgroup_cpu_s = *after.cgroup_cpu_s - *before.cgroup_cpu_s;
  }

  void FillMemory() {
    const Result<int64_t> rss = os::PeakRssBytesOf(report_.server_pid);
    if (rss.ok()) report_.peak_rss_bytes = *rss;
    if (sampler_->peak_pss_bytes() > 0) report_.peak_pss_bytes = sampler_->peak_pss_bytes();
  }

  void FillEndpoint(const LoadResult& result) {
    std::vector<std::string>& why = report_.not_endpoint;
    const auto add = [&](bool wrong, std::string text) {
      if (wrong) why.push_back(std::move(text));
    };
    // What a server counts beyond the text, a beginning token or a template, is the same each time.
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (const Answer& answer : result.answers) {
      if (!answer.failure.empty()) continue;
      least = std::min(least, answer.prompt_tokens - answer.nominal_tokens);
      most = std::max(most, answer.prompt_tokens - answer.nominal_tokens);
    }
    add(options_.prompt_lengths != std::vector<int>{40, 80, 160, 320, 640} ||
            options_.max_tokens != 64,
        "other lengths");
    add(report_.new_tokens != report_.requests_ok * options_.max_tokens,
        "answers of other lengths");
    add(!exact_lengths_, "prompt lengths estimated");
    add(exact_lengths_ && least < most, "prompt lengths not as the server counts");
    add(options_.chat, "a template's beginning is shared");
    add(report_.active_s < kEndpointSeconds, "shorter than 120 s");
    add(report_.requests_ok < kEndpointAnswers, "fewer than 400 answers");
    add(result.answers.size() > prompts_.size(), "prompts repeated");
    add(report_.cached_tokens * 100 > report_.prompt_tokens, "more than 1 % of prompts cached");
  }

  std::vector<std::string> Doubts() const {
    std::vector<std::string> doubts;
    if (sampler_->target_gone()) doubts.push_back("the server ended under the load");
    if (report_.cgroup_cpu_s.has_value() && report_.cpu_s.has_value() &&
        std::abs(*report_.cgroup_cpu_s - *report_.cpu_s) > kCgroupTolerance * *report_.cgroup_cpu_s)
      doubts.push_back("the control group counts another CPU time");
    return doubts;
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
  std::vector<BenchPrompt> prompts_, warmup_prompts_;
  bool exact_lengths_ = false;
  std::unique_ptr<os::CpuSampler> sampler_;
};

}  // namespace

Result<BudgetBenchReport> RunBudgetBench(const BudgetBenchOptions& options,
                                         const BudgetBenchProgressFn& progress) {
  return Bench(options, progress).Run();
}

}  // namespace lull
