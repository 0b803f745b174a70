#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/budget_bench.h"
#include "bench/json_values.h"

namespace lull {
namespace {

constexpr double kMaxSteal = 0.05;
constexpr int64_t kMinRequests = 20;
constexpr double kMeanTolerancePoints = 0.5;

std::string Format(const char* format, double value) {
  char text[96];
  snprintf(text, sizeof(text), format, value);
  return text;
}

std::optional<double> Percent(std::optional<double> share) {
  if (share.has_value()) *share *= 100.0;
  return share;
}

std::optional<double> P99(const CpuFigures& figures, int64_t width_ns) {
  const WindowFigures* window = figures.Of(width_ns);
  if (window == nullptr || !window->p99.has_value()) return std::nullopt;
  return window->p99->value;
}

std::optional<double> Value(const std::optional<QuantileEstimate>& estimate) {
  if (!estimate.has_value()) return std::nullopt;
  return estimate->value;
}

template <typename T>
std::optional<double> Scaled(const std::optional<T>& value, double unit) {
  if (!value.has_value()) return std::nullopt;
  return static_cast<double>(*value) / unit;
}

std::vector<std::string> LoadDoubts(const BudgetBenchReport& report,
                                    const std::vector<std::string>& doubts) {
  std::vector<std::string> all = doubts;
  if (!report.steal.has_value()) {
    all.push_back("steal unknown");
  } else if (*report.steal > kMaxSteal) {
    all.push_back(Format("steal %.1f %% is above 5 %%", *report.steal * 100));
  }
  const std::vector<std::string> of_samples = DoubtsOf(report.cpu);
  all.insert(all.end(), of_samples.begin(), of_samples.end());
  if (report.requests_ok < kMinRequests)
    all.push_back("only " + std::to_string(report.requests_ok) + " answers, 20 needed");
  return all;
}

// A process that others leave no CPU cannot use what it is allowed.
std::vector<std::string> UseDoubts(const BudgetBenchReport& report,
                                   std::vector<std::string> doubts) {
  const double left = 1.0 - report.others.value_or(1.0);
  if (left < report.budget.cpu.mean_share + 0.1)
    doubts.push_back(Format("others took %.0f %% of the machine", 100 * report.others.value_or(1)));
  return doubts;
}

nlohmann::json BudgetJson(const BudgetBenchReport& report) {
  const Budget& budget = report.budget;
  return {{"cpu_mean", budget.cpu.mean_share},
          {"cpu_p99", budget.cpu.p99_share},
          {"cpu_p99_20ms", report.p99_20ms_share},
          {"cpu_used", report.used_share},
          {"mem_bw_bytes_per_s", budget.mem_bw_bytes_per_s},
          {"ram_bytes", budget.ram_bytes},
          {"p95_latency_s", budget.p95_latency_s},
          {"kv_per_session_bytes", budget.kv_per_session_bytes}};
}

nlohmann::json LoadJson(const BudgetBenchReport& report) {
  return {{"concurrency", report.concurrency},
          {"arrivals_per_s", report.arrivals_per_s},
          {"active_s", report.active_s},
          {"requests_ok", report.requests_ok},
          {"requests_failed", report.requests_failed},
          {"first_failure", report.first_failure},
          {"prompt_tokens", report.prompt_tokens},
          {"new_tokens", report.new_tokens},
          {"cached_tokens", report.cached_tokens},
          {"endpoint", report.not_endpoint.empty()},
          {"not_endpoint", report.not_endpoint}};
}

}  // namespace

void JudgeBudgetBench(double idle_limit, const std::vector<std::string>& doubts,
                      BudgetBenchReport* report) {
  const std::vector<std::string> load_doubts = LoadDoubts(*report, doubts);
  const Budget& budget = report->budget;
  std::vector<VerdictLine>& lines = report->verdicts;
  lines.clear();
  if (budget.cpu.capped()) {
    lines.push_back(JudgeAtMost("cpu_mean", "%", Percent(report->cpu.mean),
                                budget.cpu.mean_share * 100, kMeanTolerancePoints, load_doubts));
    lines.push_back(JudgeAtMost("cpu_p99_100ms", "%", Percent(P99(report->cpu, 100'000'000)),
                                budget.cpu.p99_share * 100, 0.0, load_doubts));
  }
  if (report->p99_20ms_share > 0)
    lines.push_back(JudgeAtMost("cpu_p99_20ms", "%", Percent(P99(report->cpu, 20'000'000)),
                                report->p99_20ms_share * 100, 0.0, load_doubts));
  if (report->used_share > 0)
    lines.push_back(JudgeAtLeast("cpu_used", "%", Percent(report->used), report->used_share * 100,
                                 0.0, UseDoubts(*report, load_doubts)));
  lines.push_back(
      JudgeAtMost("cpu_idle", "%", Percent(report->idle_cpu), idle_limit * 100, 0.0, doubts));
  if (budget.p95_latency_s > 0)
    lines.push_back(JudgeAtMost("latency_p95", "s", Value(report->latency_p95),
                                budget.p95_latency_s, 0.0, load_doubts));
  if (budget.ram_bytes > 0)
    lines.push_back(JudgeAtMost("peak_memory", "MB", Scaled(report->peak_pss_bytes, 1e6),
                                static_cast<double>(budget.ram_bytes) / 1e6, 0.0, doubts));
  if (budget.mem_bw_bytes_per_s > 0)
    lines.push_back(JudgeAtMost("bus", "GB/s", Scaled(report->bus_bytes_per_s, 1e9),
                                budget.mem_bw_bytes_per_s / 1e9, 0.0, load_doubts));
  const int64_t asked = report->requests_ok + report->requests_failed;
  std::vector<std::string> answer_doubts;
  if (asked == 0) answer_doubts.push_back("no request was sent");
  VerdictLine failures = JudgeAtMost(
      "requests_failed", "", static_cast<double>(report->requests_failed), 0.0, 0.0, answer_doubts);
  if (failures.verdict == Verdict::kFail) failures.reason = report->first_failure;
  lines.push_back(std::move(failures));
  report->overall = Overall(lines);
}

nlohmann::json ToJson(const BudgetBenchReport& report) {
  nlohmann::json json = {{"kind", "budget_bench"}, {"version", 2}};
  json["machine"] = ToJson(report.machine);
  json["server"] = {
      {"address", report.server}, {"pid", report.server_pid}, {"cpus", report.server_cpus}};
  json["budget"] = BudgetJson(report);
  json["load"] = LoadJson(report);
  json["cpu"] = ToJson(report.cpu);
  json["cpu"]["seconds"] = JsonOf(report.cpu_s);
  json["cpu"]["seconds_by_cgroup"] = JsonOf(report.cgroup_cpu_s);
  json["cpu"]["seconds_per_request"] = JsonOf(report.cpu_s_per_request);
  json["cpu"]["used"] = JsonOf(report.used);
  json["cpu"]["idle"] = JsonOf(report.idle_cpu);
  json["cpu"]["steal"] = JsonOf(report.steal);
  json["cpu"]["others"] = JsonOf(report.others);
  json["latency_s"] = {{"p50", JsonOf(report.latency_p50)},
                       {"p95", JsonOf(report.latency_p95)},
                       {"p99", JsonOf(report.latency_p99)}};
  if (report.latency_p99.has_value() && report.latency_p50.has_value())
    json["latency_s"]["p99_over_p50"] = report.latency_p99->value / report.latency_p50->value;
  json["peak_rss_bytes"] = JsonOf(report.peak_rss_bytes);
  json["peak_pss_bytes"] = JsonOf(report.peak_pss_bytes);
  json["stated_by_server"] = {{"receipts_cpu_s", JsonOf(report.receipts_cpu_s)},
                              {"receipts_throttled_s", JsonOf(report.receipts_throttled_s)},
                              {"bus_bytes_per_s", JsonOf(report.bus_bytes_per_s)}};
  json["verdicts"] = nlohmann::json::array();
  for (const VerdictLine& line : report.verdicts) json["verdicts"].push_back(ToJson(line));
  json["overall"] = VerdictName(report.overall);
  return json;
}

}  // namespace lull
