#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/budget_bench.h"

namespace lull {
namespace {

constexpr double kMaxSteal = 0.05;
constexpr size_t kMinWindows = 1000;
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

nlohmann::json Value(const std::optional<double>& value) {
  return value.has_value() ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json Latency(const std::optional<QuantileEstimate>& estimate) {
  if (!estimate.has_value()) return nullptr;
  return {
      {"value", estimate->value}, {"low", Value(estimate->low)}, {"high", Value(estimate->high)}};
}

}  // namespace

void JudgeBudgetBench(double idle_limit, const std::vector<std::string>& doubts,
                      BudgetBenchReport* report) {
  std::vector<std::string> load_doubts = doubts;
  if (!report->steal.has_value()) {
    load_doubts.push_back("steal unknown");
  } else if (*report->steal > kMaxSteal) {
    load_doubts.push_back(Format("steal %.1f %% is above 5 %%", *report->steal * 100));
  }
  if (report->windows < kMinWindows) {
    load_doubts.push_back("only " + std::to_string(report->windows) + " windows, 1000 needed");
  }
  if (report->requests_ok < kMinRequests) {
    load_doubts.push_back("only " + std::to_string(report->requests_ok) + " answers, 20 needed");
  }
  report->verdicts.clear();
  if (report->budget.capped()) {
    report->verdicts.push_back(JudgeAtMost("cpu_mean", "%", Percent(report->cpu_mean),
                                           report->budget.mean_share * 100, kMeanTolerancePoints,
                                           load_doubts));
    report->verdicts.push_back(JudgeAtMost("cpu_p99_100ms", "%", Percent(report->window_p99),
                                           report->budget.p99_share * 100, 0.0, load_doubts));
  }
  report->verdicts.push_back(
      JudgeAtMost("cpu_idle", "%", Percent(report->idle_cpu), idle_limit * 100, 0.0, doubts));
  const int64_t asked = report->requests_ok + report->requests_failed;
  std::vector<std::string> answer_doubts;
  if (asked == 0) answer_doubts.push_back("no request was sent");
  VerdictLine failures = JudgeAtMost(
      "requests_failed", "", static_cast<double>(report->requests_failed), 0.0, 0.0, answer_doubts);
  if (failures.verdict == Verdict::kFail) failures.reason = report->first_failure;
  report->verdicts.push_back(std::move(failures));
  report->overall = Overall(report->verdicts);
}

nlohmann::json ToJson(const BudgetBenchReport& report) {
  nlohmann::json json = {{"kind", "budget_bench"}, {"version", 1}};
  json["machine"] = ToJson(report.machine);
  json["server"] = {
      {"address", report.server}, {"pid", report.server_pid}, {"cpus", report.server_cpus}};
  json["budget"] = {{"cpu_mean", report.budget.mean_share}, {"cpu_p99", report.budget.p99_share}};
  json["load"] = {{"concurrency", report.concurrency},
                  {"arrivals_per_s", report.arrivals_per_s},
                  {"active_s", report.active_s},
                  {"requests_ok", report.requests_ok},
                  {"requests_failed", report.requests_failed},
                  {"first_failure", report.first_failure},
                  {"prompt_tokens", report.prompt_tokens},
                  {"new_tokens", report.new_tokens}};
  json["cpu"] = {{"mean", Value(report.cpu_mean)},
                 {"windows_100ms",
                  {{"count", report.windows},
                   {"p50", Value(report.window_p50)},
                   {"p95", Value(report.window_p95)},
                   {"p99", Value(report.window_p99)},
                   {"max", Value(report.window_max)}}},
                 {"windows_20ms", {{"p99", Value(report.window_20ms_p99)}}},
                 {"idle", Value(report.idle_cpu)},
                 {"seconds_per_request", Value(report.cpu_s_per_request)},
                 {"steal", Value(report.steal)},
                 {"others", Value(report.others)}};
  json["latency_s"] = {{"p50", Latency(report.latency_p50)},
                       {"p95", Latency(report.latency_p95)},
                       {"p99", Latency(report.latency_p99)}};
  if (report.latency_p99.has_value() && report.latency_p50.has_value())
    json["latency_s"]["p99_over_p50"] = report.latency_p99->value / report.latency_p50->value;
  json["peak_rss_bytes"] =
      report.peak_rss_bytes.has_value() ? nlohmann::json(*report.peak_rss_bytes) : nlohmann::json();
  json["verdicts"] = nlohmann::json::array();
  for (const VerdictLine& line : report.verdicts) json["verdicts"].push_back(ToJson(line));
  json["overall"] = VerdictName(report.overall);
  return json;
}

}  // namespace lull
