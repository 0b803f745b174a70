#include "bench/stress_bench.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>

#include "base/os/os.h"
#include "base/os/process.h"
#include "base/os/thread.h"
#include "bench/closed_loop.h"
#include "bench/http_client.h"
#include "bench/json_values.h"
#include "evidence/machine.h"
#include "evidence/quantiles.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr double kNs = 1e9;
constexpr int64_t kProbePeriodNs = 20 * kMs;
constexpr double kProbeTimeoutS = 10;
constexpr double kSettleS = 60;
constexpr double kKneeShare = 0.9;
constexpr double kHealthLimitMs = 50;

std::string Format(const char* format, double value) {
  char text[96];
  snprintf(text, sizeof(text), format, value);
  return text;
}

// Asks for /health all the while, each time on a connection of its own.
class HealthProbe {
 public:
  Status Start(const ServerAddress& server) {
    return os::StartThread(
        "health probe", [this, server] { Run(server); }, &thread_);
  }
  ~HealthProbe() { Stop(); }
  void Stop() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  // After Stop().
  std::vector<double> latencies_ms;
  int64_t failures = 0;

 private:
  void Run(const ServerAddress& server) {
    while (!stop_.load()) {
      const int64_t begin = os::MonotonicNs();
      const Result<HttpReply> reply = HttpGet(server.host, server.port, "/health", kProbeTimeoutS);
      if (reply.ok() && reply->status == 200) {
        latencies_ms.push_back(static_cast<double>(os::MonotonicNs() - begin) / kMs);
      } else {
        ++failures;
      }
      os::SleepUntilNs(std::max(begin + kProbePeriodNs, os::MonotonicNs()));
    }
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Level {
  int workers = 0;
  bool proven = false;
  double seconds = 0;
  int64_t ok = 0, refused = 0, server_errors = 0, client_errors = 0, resets = 0;
  int64_t checked = 0, wrong = 0, health_failures = 0;
  std::string first_failure;
  std::optional<QuantileEstimate> p50, p95, p99, health_p50, health_p99;  // s, ms
  std::optional<int64_t> peak_pss_bytes;
  double per_s() const { return seconds > 0 ? static_cast<double>(ok) / seconds : 0.0; }
};

nlohmann::json ToJson(const Level& level) {
  return {{"workers", level.workers},
          {"proven", level.proven},
          {"seconds", level.seconds},
          {"requests_per_s", level.per_s()},
          {"answers",
           {{"ok", level.ok},
            {"refused", level.refused},
            {"server_errors", level.server_errors},
            {"client_errors", level.client_errors},
            {"resets", level.resets},
            {"checked", level.checked},
            {"wrong", level.wrong},
            {"first_failure", level.first_failure}}},
          {"latency_s",
           {{"p50", JsonOf(level.p50)}, {"p95", JsonOf(level.p95)}, {"p99", JsonOf(level.p99)}}},
          {"health_ms",
           {{"p50", JsonOf(level.health_p50)},
            {"p99", JsonOf(level.health_p99)},
            {"failures", level.health_failures}}},
          {"peak_pss_bytes", JsonOf(level.peak_pss_bytes)}};
}

class Stress {
 public:
  explicit Stress(const StressOptions& options) : options_(options) {}

  Result<Outcome> Run() {
    LULL_RETURN_IF_ERROR(Start());
    for (const int workers : options_.workers) {
      LULL_ASSIGN_OR_RETURN(const Level level, RunLevel(workers));
      levels_.push_back(level);
      if (!os::ProcessCpuNsOf(pid_).ok()) break;  // the server is gone
    }
    return Concluded();
  }

 private:
  Status Start() {
    if (options_.workers.empty() || options_.completions < 1)
      return Status(ErrorCode::kUsage, "levels and completions are needed", "workers");
    LULL_ASSIGN_OR_RETURN(pid_, FindServer(options_.server));
    PromptOptions prompts;
    prompts.seed = options_.seed;
    prompts.lengths = options_.prompt_lengths;
    prompts.counter = options_.counter;
    if (!prompts.counter) {
      Result<TokenCounter> counter = ServerTokenCounter(options_.server);
      if (counter.ok()) prompts.counter = *counter;
    }
    // Each level asks anew: nothing of it is in a cache.
    for (const int workers : options_.workers)
      prompts.count += static_cast<size_t>(options_.completions + workers);
    LULL_ASSIGN_OR_RETURN(prompts_, MakeSecurityPrompts(prompts));
    load_.server = options_.server;
    load_.chat = options_.chat;
    load_.model = options_.model;
    load_.max_tokens = options_.max_tokens;
    load_.request_timeout_s = options_.request_timeout_s;
    machine_before_ = os::ReadMachineTimes();
    return Status::Ok();
  }

  Result<Level> RunLevel(int workers) {
    Level level;
    level.workers = workers;
    WaitUntilIdle(pid_, kSettleS);
    os::SamplerOptions sampling;
    sampling.period_ns = 100 * kMs;
    sampling.max_samples = static_cast<size_t>(options_.level_s * 10) + 1000;
    sampling.memory_period_ns = 1000 * kMs;
    LULL_ASSIGN_OR_RETURN(const auto sampler, os::CpuSampler::Start(pid_, sampling));
    HealthProbe probe;
    LULL_RETURN_IF_ERROR(probe.Start(options_.server));
    load_.concurrency = workers;
    const int64_t begin = os::MonotonicNs();
    LULL_ASSIGN_OR_RETURN(const auto loop, ClosedLoop::Start(load_, prompts_, next_prompt_));
    while (!IsOver(*loop, begin)) {
      os::SleepUntilNs(os::MonotonicNs() + 20 * kMs);
      Tell(workers, *loop, begin);
    }
    const int64_t end = os::MonotonicNs();
    loop->Stop();
    probe.Stop();
    sampler->Stop();
    next_prompt_ = loop->next_prompt();
    const std::vector<Answer> answers = loop->TakeAnswers();
    level.seconds = static_cast<double>(end - begin) / kNs;
    Count(answers, &level);
    level.proven = level.ok >= options_.completions;
    const std::vector<double> health = Sorted(probe.latencies_ms);
    level.health_p50 = EstimateQuantile(health, 0.50);
    level.health_p99 = EstimateQuantile(health, 0.99);
    level.health_failures = probe.failures;
    if (sampler->peak_pss_bytes() > 0) level.peak_pss_bytes = sampler->peak_pss_bytes();
    WaitUntilIdle(pid_, kSettleS);
    CompareSome(answers, &level);
    return level;
  }

  bool IsOver(const ClosedLoop& loop, int64_t begin) const {
    const double passed_s = static_cast<double>(os::MonotonicNs() - begin) / kNs;
    return loop.completed() >= options_.completions || passed_s >= options_.level_s ||
           loop.failed() >= 10 * options_.completions || !os::ProcessCpuNsOf(pid_).ok();
  }

  void Tell(int workers, const ClosedLoop& loop, int64_t begin) {
    const int64_t now = os::MonotonicNs();
    if (!options_.progress || now - told_ns_ < 1000 * kMs) return;
    told_ns_ = now;
    options_.progress(workers, loop.completed(), static_cast<double>(now - begin) / kNs);
  }

  static void Count(const std::vector<Answer>& answers, Level* level) {
    std::vector<double> latencies;
    for (const Answer& answer : answers) {
      if (answer.failure.empty()) {
        ++level->ok;
        latencies.push_back(static_cast<double>(answer.end_ns - answer.begin_ns) / kNs);
        continue;
      }
      if (answer.status == 429) {
        ++level->refused;
        continue;
      }
      if (level->first_failure.empty()) level->first_failure = answer.failure;
      if (answer.status == 0) {
        ++level->resets;
      } else if (answer.status >= 400 && answer.status < 500) {
        ++level->client_errors;
      } else {
        ++level->server_errors;
      }
    }
    latencies = Sorted(latencies);
    level->p50 = EstimateQuantile(latencies, 0.50);
    level->p95 = EstimateQuantile(latencies, 0.95);
    level->p99 = EstimateQuantile(latencies, 0.99);
  }

  // The same prompts again, one at a time: the same text is due.
  void CompareSome(const std::vector<Answer>& answers, Level* level) const {
    std::vector<const Answer*> good;
    for (const Answer& answer : answers)
      if (answer.failure.empty()) good.push_back(&answer);
    const size_t checks = std::min(good.size(), static_cast<size_t>(options_.checks));
    for (size_t i = 0; i < checks; ++i) {
      const Answer& answer = *good[i * good.size() / checks];
      const Answer again = Ask(load_, prompts_[answer.prompt_index].text);
      if (!again.failure.empty()) continue;
      ++level->checked;
      level->wrong += again.text != answer.text;
    }
  }

  // The fewest clients from which on more of them bring less than a tenth.
  const Level* Knee() const {
    double best = 0;
    for (const Level& level : levels_)
      if (level.proven) best = std::max(best, level.per_s());
    for (const Level& level : levels_)
      if (level.proven && level.per_s() >= kKneeShare * best) return &level;
    return nullptr;
  }

  Outcome Concluded() const {
    Outcome outcome;
    outcome.title = "Stress  " + options_.server.host + ":" + std::to_string(options_.server.port);
    outcome.record = {{"kind", "stress_bench"},
                      {"version", 1},
                      {"machine", ToJson(ReadMachine())},
                      {"options",
                       {{"workers", options_.workers},
                        {"completions", options_.completions},
                        {"level_s", options_.level_s},
                        {"max_tokens", options_.max_tokens},
                        {"prompt_lengths", options_.prompt_lengths}}},
                      {"levels", nlohmann::json::array()}};
    std::vector<std::string> doubts = Doubts();
    int64_t errors = 0, wrong = 0, checked = 0;
    double health_ms = 0;
    for (const Level& level : levels_) {
      outcome.record["levels"].push_back(ToJson(level));
      outcome.figures.emplace_back(std::to_string(level.workers) + " workers", Describe(level));
      errors += level.server_errors + level.resets + level.health_failures;
      wrong += level.wrong;
      checked += level.checked;
      if (!level.health_p99.has_value())
        doubts.push_back(std::to_string(level.workers) + " workers: too few probes of /health");
      else
        health_ms = std::max(health_ms, level.health_p99->value);
    }
    const Level* const knee = Knee();
    outcome.record["knee_workers"] =
        knee == nullptr ? nlohmann::json() : nlohmann::json(knee->workers);
    outcome.figures.emplace_back(
        "Knee", knee == nullptr
                    ? "not found"
                    : std::to_string(knee->workers) + " workers: more bring less than a tenth");
    // An error is one however long the level went on.
    outcome.verdicts.push_back(JudgeAtMost("errors_and_resets", "", static_cast<double>(errors), 0,
                                           0, errors > 0 ? std::vector<std::string>() : doubts));
    std::vector<std::string> of_bytes = wrong > 0 ? std::vector<std::string>() : doubts;
    if (checked == 0) of_bytes.push_back("no answer was compared");
    outcome.verdicts.push_back(
        JudgeAtMost("wrong_answers", "", static_cast<double>(wrong), 0, 0, of_bytes));
    outcome.verdicts.push_back(
        JudgeAtMost("health_p99", "ms", health_ms, kHealthLimitMs, 0, doubts));
    Conclude(&outcome);
    return outcome;
  }

  std::vector<std::string> Doubts() const {
    const os::MachineTimes now = os::ReadMachineTimes();
    std::vector<std::string> doubts = StealDoubts(now.steal_ns - machine_before_.steal_ns,
                                                  now.total_ns - machine_before_.total_ns);
    for (const Level& level : levels_)
      if (!level.proven)
        doubts.push_back(std::to_string(level.workers) + " workers: " + std::to_string(level.ok) +
                         " answers in " + Format("%.0f s", level.seconds));
    if (levels_.size() < options_.workers.size()) doubts.push_back("the server ended");
    return doubts;
  }

  static std::string Describe(const Level& level) {
    const auto seconds = [](const std::optional<QuantileEstimate>& estimate) {
      return estimate.has_value() ? Format("%.2f s", estimate->value) : std::string("-");
    };
    std::string text = Format("%.2f/s", level.per_s()) + "  p50 " + seconds(level.p50) + "  p95 " +
                       seconds(level.p95) + "  p99 " + seconds(level.p99) + "  ok " +
                       std::to_string(level.ok) + "  429 " + std::to_string(level.refused) +
                       "  5xx " + std::to_string(level.server_errors) + "  resets " +
                       std::to_string(level.resets) + "  wrong " + std::to_string(level.wrong);
    if (level.health_p99.has_value())
      text += Format("  health p99 %.1f ms", level.health_p99->value);
    if (level.peak_pss_bytes.has_value())
      text += Format("  %.0f MB", static_cast<double>(*level.peak_pss_bytes) / 1e6);
    return text;
  }

  const StressOptions& options_;
  int pid_ = 0;
  LoadPlan load_;
  std::vector<BenchPrompt> prompts_;
  size_t next_prompt_ = 0;
  std::vector<Level> levels_;
  os::MachineTimes machine_before_;
  int64_t told_ns_ = 0;
};

}  // namespace

Result<Outcome> RunStress(const StressOptions& options) { return Stress(options).Run(); }

}  // namespace lull
