#include "bench/budget_bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/http_client.h"
#include "bench/scorecard.h"
#include "tests/bench/fake_server.h"

namespace lull {
namespace {

using Mode = FakeServer::Mode;

BudgetBenchOptions ShortBench(const FakeServer& server) {
  BudgetBenchOptions options;
  options.server.port = server.port();
  options.requests = 25;
  options.duration_s = 0;
  options.idle_s = 0.3;
  options.idle_limit = 0.02;
  options.warmup_requests = 2;
  options.request_timeout_s = 10;
  options.budget.cpu = {0.35, 0.50};
  options.distinct_prompts = 50;
  return options;
}

const VerdictLine& Line(const BudgetBenchReport& report, const std::string& name) {
  static const VerdictLine kNone;
  const auto found = std::find_if(report.verdicts.begin(), report.verdicts.end(),
                                  [&](const VerdictLine& line) { return line.name == name; });
  EXPECT_NE(found, report.verdicts.end()) << name;
  return found == report.verdicts.end() ? kNone : *found;
}

TEST(HttpClient, RepliesErrorsAndDeadlines) {
  FakeServer server({});
  const auto health = HttpGet("127.0.0.1", server.port(), "/health", 5);
  ASSERT_TRUE(health.ok()) << health.status().ToString();
  EXPECT_EQ(health->status, 200);
  EXPECT_EQ(HttpPostJson("127.0.0.1", server.port(), "/v1/completions", "{}", 5)->status, 400);
  EXPECT_EQ(HttpGet("127.0.0.1", 1, "/", 5).error().code, ErrorCode::kIo);
  FakeServer silent({.mode = Mode::kSilent});
  const std::string body =
      "{\"max_tokens\":64,\"temperature\":0,\"ignore_eos\":true,\"prompt\":\"\"}";
  const auto late = HttpPostJson("127.0.0.1", silent.port(), "/v1/completions", body, 0.3);
  EXPECT_EQ(late.error().code, ErrorCode::kIo);
  FakeServer hang_up({.mode = Mode::kHangUp});
  EXPECT_FALSE(HttpPostJson("127.0.0.1", hang_up.port(), "/v1/completions", body, 5).ok());
}

TEST(BudgetBench, MeasuresTheServersProcessAlone) {
  FakeServer server({.burn_ms = 20, .wait_ms = 40});
  BudgetBenchOptions options = ShortBench(server);
  const auto report = RunBudgetBench(options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->server_pid, server.pid());
  EXPECT_EQ(report->requests_ok, 25);
  EXPECT_EQ(report->requests_failed, 0);
  EXPECT_EQ(report->prompt_tokens, 2500);
  EXPECT_EQ(report->new_tokens, 1600);
  EXPECT_NEAR(*report->cpu_s_per_request, 0.020, 0.004);
  EXPECT_LE(*report->idle_cpu, 0.02);
  EXPECT_GT(report->cpu.Of(100'000'000)->count, 50u);
  EXPECT_GT(*report->peak_pss_bytes, 0);
  EXPECT_GT(*report->peak_rss_bytes, 0);
  EXPECT_GE(report->latency_p50->value, 0.060);
  EXPECT_FALSE(report->latency_p99.has_value());
  EXPECT_EQ(Line(*report, "cpu_idle").verdict, Verdict::kPass);
  EXPECT_EQ(Line(*report, "requests_failed").verdict, Verdict::kPass);
  // About 1.5 s of windows prove nothing, however good they look.
  EXPECT_EQ(Line(*report, "cpu_mean").verdict, Verdict::kUnproven);
  EXPECT_EQ(report->overall, Verdict::kUnproven);
}

TEST(BudgetBench, FindsTheServerByItsPortAndSpeaksBothApis) {
  FakeServer server({.tell_pid = false});
  BudgetBenchOptions options = ShortBench(server);
  options.chat = true;
  options.requests = 3;
  const auto report = RunBudgetBench(options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->server_pid, server.pid());
  EXPECT_EQ(report->requests_ok, 3);
}

TEST(BudgetBench, AnswersThatEndEarlyAreNotTheEndpointLoad) {
  FakeServer server({.new_tokens = 63});
  BudgetBenchOptions options = ShortBench(server);
  options.requests = 2;
  const auto report = RunBudgetBench(options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->not_endpoint.front(), "answers of other lengths");
}

TEST(BudgetBench, BusyIdleFails) {
  FakeServer server({.burn_idle = true});
  const auto report = RunBudgetBench(ShortBench(server));
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(Line(*report, "cpu_idle").verdict, Verdict::kFail);
  EXPECT_EQ(report->overall, Verdict::kFail);
}

// A server that uses 12 % where 10 % were promised, from the outside, with its receipts and
// metrics.
TEST(BudgetBench, AServerAboveItsBudgetFails) {
  FakeServer server({.wait_ms = 50, .burn_share = 0.24, .receipts = true});
  BudgetBenchOptions options = ShortBench(server);
  options.budget.cpu = {0.10, 0.90};
  options.requests = 20;
  options.duration_s = 12;
  const auto report = RunBudgetBench(options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_NEAR(*report->cpu.mean * report->server_cpus, 0.24, 0.04);
  if (Line(*report, "cpu_mean").verdict == Verdict::kUnproven)
    GTEST_SKIP() << "the machine was disturbed: " << Line(*report, "cpu_mean").reason;
  EXPECT_EQ(report->overall, Verdict::kFail);
  EXPECT_GT(*report->receipts_cpu_s, 0.0);
  EXPECT_GT(*report->bus_bytes_per_s, 0.0);
  EXPECT_EQ(report->not_endpoint,
            (std::vector<std::string>{"prompt lengths estimated", "shorter than 120 s",
                                      "fewer than 400 answers", "prompts repeated"}));
}

TEST(BudgetBench, FailedRequestsFailAndSayWhy) {
  const std::pair<Mode, const char*> cases[] = {{Mode::kError500, "HTTP 500"},
                                                {Mode::kNotJson, "no choices"},
                                                {Mode::kNoChoices, "no choices"},
                                                {Mode::kHangUp, "receive"}};
  for (const auto& [mode, reason] : cases) {
    FakeServer server({.mode = mode});
    const auto report = RunBudgetBench(ShortBench(server));
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_EQ(report->requests_ok, 0);
    EXPECT_EQ(Line(*report, "requests_failed").verdict, Verdict::kFail);
    EXPECT_NE(Line(*report, "requests_failed").reason.find(reason), std::string::npos)
        << Line(*report, "requests_failed").reason;
  }
}

TEST(BudgetBench, AServerThatDiesEndsTheBench) {
  FakeServer server({.mode = Mode::kDies});
  BudgetBenchOptions options = ShortBench(server);
  options.requests = 1000;
  options.warmup_requests = 0;
  const auto report = RunBudgetBench(options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_LT(report->requests_failed, 100);
  EXPECT_EQ(report->overall, Verdict::kFail);
}

TEST(BudgetBench, ErrorsBeforeTheLoad) {
  FakeServer unhealthy({.mode = Mode::kUnhealthy});
  EXPECT_EQ(RunBudgetBench(ShortBench(unhealthy)).error().code, ErrorCode::kBusy);
  FakeServer server({});
  BudgetBenchOptions options = ShortBench(server);
  options.server.port = 1;
  EXPECT_EQ(RunBudgetBench(options).error().code, ErrorCode::kIo);
  options = ShortBench(server);
  options.server.pid = 1 << 22;
  EXPECT_EQ(RunBudgetBench(options).error().code, ErrorCode::kNotFound);
  using Change = void (*)(BudgetBenchOptions&);
  const Change changes[] = {[](BudgetBenchOptions& o) { o.server.port = 0; },
                            [](BudgetBenchOptions& o) { o.concurrency = 0; },
                            [](BudgetBenchOptions& o) { o.requests = 0; },
                            [](BudgetBenchOptions& o) { o.duration_s = 0.0 / 0.0; },
                            [](BudgetBenchOptions& o) { o.arrivals_per_s = -1; },
                            [](BudgetBenchOptions& o) { o.idle_s = 1e9; },
                            [](BudgetBenchOptions& o) { o.request_timeout_s = 0; },
                            [](BudgetBenchOptions& o) { o.max_tokens = 0; },
                            [](BudgetBenchOptions& o) { o.warmup_requests = -1; }};
  for (const Change change : changes) {
    options = ShortBench(server);
    change(options);
    const auto report = RunBudgetBench(options);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code, ErrorCode::kUsage);
  }
}

TEST(BudgetBench, StopsWhenCancelled) {
  FakeServer server({.wait_ms = 20});
  BudgetBenchOptions options = ShortBench(server);
  options.requests = 100'000;
  std::atomic<bool> cancelled{false};
  options.cancelled = &cancelled;
  const auto report = RunBudgetBench(options, [&](const BudgetBenchProgress& p) {
    if (std::string(p.phase) == "load" && p.requests > 5) cancelled.store(true);
  });
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
}

TEST(BudgetBench, PoissonArrivalsAndJson) {
  FakeServer server({.wait_ms = 2});
  BudgetBenchOptions options = ShortBench(server);
  options.arrivals_per_s = 50;
  options.concurrency = 4;
  options.requests = 40;
  std::vector<std::string> phases;
  const auto report = RunBudgetBench(options, [&](const BudgetBenchProgress& p) {
    if (phases.empty() || phases.back() != p.phase) phases.push_back(p.phase);
    EXPECT_GE(p.share, 0.0);
    EXPECT_LE(p.share, 1.0);
  });
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(phases, (std::vector<std::string>{"prompts", "idle", "warm-up", "load"}));
  EXPECT_EQ(report->requests_ok, 40);
  EXPECT_GT(report->active_s, 0.3);  // 40 arrivals at 50 a second: 0.8 s on average
  const nlohmann::json record = ToJson(*report);
  EXPECT_EQ(record["kind"], "budget_bench");
  EXPECT_EQ(record["load"]["requests_ok"], 40);
  EXPECT_EQ(record["overall"], VerdictName(report->overall));
  EXPECT_EQ(record["verdicts"].size(), 4u);
  EXPECT_TRUE(record["machine"].contains("fingerprint"));
}

constexpr int64_t kMs = 1'000'000;

// Ticks of 10 ms, each with this share of two CPUs used.
std::vector<os::CpuSample> Ticks(const std::vector<double>& shares) {
  std::vector<os::CpuSample> samples = {{1000 * kMs, 5 * kMs}};
  for (const double share : shares)
    samples.push_back({samples.back().monotonic_ns + 10 * kMs,
                       samples.back().cpu_ns + static_cast<int64_t>(share * 2 * 10 * kMs)});
  return samples;
}

CpuFigures FiguresOf(const std::vector<os::CpuSample>& samples, size_t ticks) {
  return AnalyzeCpu(samples, 1000 * kMs, (1000 + static_cast<int64_t>(ticks) * 10) * kMs, 10 * kMs,
                    2);
}

BudgetBenchReport GoodReport() {
  BudgetBenchReport report;
  report.server = "127.0.0.1:8080";
  report.server_pid = 42;
  report.server_cpus = 2;
  report.budget.cpu = {0.35, 0.50};
  report.concurrency = 1;
  report.active_s = 60;
  report.requests_ok = 120;
  report.cpu = FiguresOf(Ticks(std::vector<double>(6000, 0.35)), 6000);
  report.cpu_s = 42.0;
  report.used = 0.99;
  report.idle_cpu = 0.0001;
  report.steal = 0.0;
  report.others = 0.1;
  report.latency_p50 = QuantileEstimate{0.5, 120, 0.4, 0.6};
  report.latency_p95 = QuantileEstimate{0.9, 120, 0.8, 1.0};
  report.latency_p99 = QuantileEstimate{1.0, 120, 0.9, std::nullopt};
  report.cpu_s_per_request = 0.35;
  report.peak_rss_bytes = 300 << 20;
  report.peak_pss_bytes = 160'000'000;
  report.bus_bytes_per_s = 7e9;
  return report;
}

// What the whole budget adds to the three lines of the CPU.
void DeclareAll(BudgetBenchReport* report) {
  report->budget.p95_latency_s = 2.5;
  report->budget.ram_bytes = 170'000'000;
  report->budget.mem_bw_bytes_per_s = 8e9;
  report->p99_20ms_share = 0.42;
  report->used_share = 0.95;
}

TEST(JudgeBudgetBench, GoodFiguresPass) {
  BudgetBenchReport report = GoodReport();
  JudgeBudgetBench(0.001, {}, &report);
  EXPECT_EQ(report.overall, Verdict::kPass);
  EXPECT_EQ(report.verdicts.size(), 4u);
  DeclareAll(&report);
  JudgeBudgetBench(0.001, {}, &report);
  EXPECT_EQ(report.overall, Verdict::kPass);
  EXPECT_EQ(report.verdicts.size(), 9u);
}

// The governor's rate set 2 % too high: 35.7 % where 35 % were promised.
TEST(JudgeBudgetBench, APlantedOverrunOfTwoPercentFails) {
  BudgetBenchReport report = GoodReport();
  report.cpu = FiguresOf(Ticks(std::vector<double>(6000, 0.35 * 1.02)), 6000);
  JudgeBudgetBench(0.001, {}, &report);
  EXPECT_EQ(Line(report, "cpu_mean").verdict, Verdict::kFail);
  EXPECT_EQ(report.overall, Verdict::kFail);
}

// Windows above the p99 promise, in 2 % of the time, with the mean kept.
TEST(JudgeBudgetBench, BurstsInTwoPercentOfTheTimeFail) {
  std::vector<double> shares(6000, 0.34);
  for (size_t i = 0; i < shares.size(); i += 500)
    std::fill(shares.begin() + i, shares.begin() + i + 20, 0.55);
  BudgetBenchReport report = GoodReport();
  report.cpu = FiguresOf(Ticks(shares), 6000);
  JudgeBudgetBench(0.001, {}, &report);
  EXPECT_EQ(Line(report, "cpu_mean").verdict, Verdict::kPass);
  EXPECT_EQ(Line(report, "cpu_p99_100ms").verdict, Verdict::kFail);
}

TEST(JudgeBudgetBench, DroppedSamplesProveNothing) {
  const std::vector<os::CpuSample> all = Ticks(std::vector<double>(6000, 0.35));
  const auto without = [&](size_t from, size_t count) {
    std::vector<os::CpuSample> samples = all;
    samples.erase(samples.begin() + static_cast<int64_t>(from),
                  samples.begin() + static_cast<int64_t>(from + count));
    BudgetBenchReport report = GoodReport();
    report.cpu = FiguresOf(samples, 6000);
    JudgeBudgetBench(0.001, {}, &report);
    return report;
  };
  EXPECT_EQ(without(500, 20).overall, Verdict::kPass);
  const BudgetBenchReport many = without(500, 40);
  EXPECT_EQ(many.overall, Verdict::kUnproven);
  EXPECT_EQ(Line(many, "cpu_mean").reason, "39 of 6000 samples dropped");
  const BudgetBenchReport gap = without(500, 120);
  EXPECT_EQ(gap.overall, Verdict::kUnproven);
  EXPECT_NE(Line(gap, "cpu_p99_100ms").reason.find("a gap of 1.2 s"), std::string::npos);
  // A sampler that ended early has dropped the rest.
  EXPECT_EQ(without(5000, 1001).overall, Verdict::kUnproven);
}

TEST(JudgeBudgetBench, EachLineCanFail) {
  using Change = void (*)(BudgetBenchReport&);
  const std::pair<const char*, Change> cases[] = {
      {"cpu_mean", [](BudgetBenchReport& r) { r.cpu.mean = 0.3551; }},
      {"cpu_p99_100ms", [](BudgetBenchReport& r) { r.cpu.windows[2].p99->value = 0.501; }},
      {"cpu_p99_20ms", [](BudgetBenchReport& r) { r.cpu.windows[0].p99->value = 0.43; }},
      {"cpu_used", [](BudgetBenchReport& r) { r.used = 0.94; }},
      {"latency_p95", [](BudgetBenchReport& r) { r.latency_p95->value = 2.6; }},
      {"peak_memory", [](BudgetBenchReport& r) { r.peak_pss_bytes = 171'000'000; }},
      {"bus", [](BudgetBenchReport& r) { r.bus_bytes_per_s = 8.1e9; }},
      {"cpu_idle", [](BudgetBenchReport& r) { r.idle_cpu = 0.0011; }},
      {"requests_failed", [](BudgetBenchReport& r) { r.requests_failed = 1; }}};
  for (const auto& [name, change] : cases) {
    BudgetBenchReport report = GoodReport();
    DeclareAll(&report);
    change(report);
    JudgeBudgetBench(0.001, {}, &report);
    EXPECT_EQ(Line(report, name).verdict, Verdict::kFail) << name;
    EXPECT_EQ(report.overall, Verdict::kFail) << name;
  }
}

TEST(JudgeBudgetBench, ThinOrDisturbedEvidenceProvesNothing) {
  using Change = void (*)(BudgetBenchReport&);
  const Change changes[] = {[](BudgetBenchReport& r) { r.steal = 0.06; },
                            [](BudgetBenchReport& r) { r.steal.reset(); },
                            [](BudgetBenchReport& r) { r.cpu.windows[2].count = 999; },
                            [](BudgetBenchReport& r) { r.requests_ok = 19; },
                            [](BudgetBenchReport& r) { r.cpu.mean.reset(); },
                            [](BudgetBenchReport& r) { r.cpu.windows[2].p99.reset(); },
                            [](BudgetBenchReport& r) { r.peak_pss_bytes.reset(); },
                            [](BudgetBenchReport& r) { r.bus_bytes_per_s.reset(); },
                            [](BudgetBenchReport& r) { r.latency_p95.reset(); },
                            // Others left it no CPU to use.
                            [](BudgetBenchReport& r) { r.used = 0.5, r.others = 0.6; },
                            [](BudgetBenchReport& r) { r.idle_cpu.reset(); }};
  for (const Change change : changes) {
    BudgetBenchReport report = GoodReport();
    DeclareAll(&report);
    change(report);
    JudgeBudgetBench(0.001, {}, &report);
    EXPECT_EQ(report.overall, Verdict::kUnproven);
  }
  BudgetBenchReport report = GoodReport();
  JudgeBudgetBench(0.001, {"the server ended"}, &report);
  EXPECT_EQ(report.overall, Verdict::kUnproven);
}

TEST(JudgeBudgetBench, WithoutABudgetNoCpuIsJudged) {
  BudgetBenchReport report = GoodReport();
  report.budget = {};
  JudgeBudgetBench(0.001, {}, &report);
  EXPECT_EQ(report.verdicts.size(), 2u);
}

size_t DisplayColumns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TEST(Scorecard, IsAlignedAndPlainUnlessColorsAreAsked) {
  BudgetBenchReport report = GoodReport();
  report.cpu.windows[2].p99->value = 0.6;
  report.idle_cpu.reset();
  JudgeBudgetBench(0.001, {}, &report);
  std::ostringstream plain, colored;
  PrintScorecard(report, false, plain);
  PrintScorecard(report, true, colored);
  EXPECT_EQ(plain.str().find('\033'), std::string::npos);
  EXPECT_NE(colored.str().find("\033[1;31mfail\033[0m"), std::string::npos);
  std::istringstream lines(plain.str());
  std::string line;
  std::vector<size_t> verdict_columns;
  while (std::getline(lines, line)) {
    EXPECT_LE(DisplayColumns(line), 90u) << line;
    for (const char* word : {"   pass", "   fail", "   unproven", "   verdict"}) {
      const size_t at = line.rfind(word);
      if (at != std::string::npos && at + std::string(word).size() == line.size())
        verdict_columns.push_back(DisplayColumns(line.substr(0, at)));
    }
  }
  ASSERT_EQ(verdict_columns.size(), 6u);  // head, four lines, sum
  for (const size_t column : verdict_columns) EXPECT_EQ(column, verdict_columns[0]);
  for (const char* part : {"35.0 %", "≤ 35.0 % (+0.5)", "60.0 %", "not measured", "p99/p50 2.0",
                           "[0.90, ?]", "120 in 60.0 s", "0 of 6000"})
    EXPECT_NE(plain.str().find(part), std::string::npos) << part << " not in\n" << plain.str();
}

}  // namespace
}  // namespace lull
