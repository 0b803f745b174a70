#include <gtest/gtest.h>

#include <sstream>

#include "bench/change_bench.h"
#include "bench/foreground_bench.h"
#include "bench/neighbour.h"
#include "bench/scorecard.h"
#include "bench/session_benches.h"
#include "bench/stress_bench.h"
#include "tests/bench/fake_server.h"

namespace lull {
namespace {

using Mode = FakeServer::Mode;
constexpr int64_t kMs = 1'000'000;

StressOptions ShortStress(const FakeServer& server) {
  StressOptions options;
  options.server.port = server.port();
  options.workers = {1, 3};
  options.completions = 5;
  options.level_s = 30;
  options.checks = 2;
  return options;
}

const VerdictLine& Line(const Outcome& outcome, const std::string& name) {
  static const VerdictLine kNone;
  for (const VerdictLine& line : outcome.verdicts)
    if (line.name == name) return line;
  ADD_FAILURE() << name;
  return kNone;
}

TEST(Stress, CountsAnswersOfEveryLevel) {
  FakeServer server({.wait_ms = 5});
  const auto outcome = RunStress(ShortStress(server));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  const nlohmann::json& record = outcome->record;
  ASSERT_EQ(record["levels"].size(), 2u);
  for (const nlohmann::json& level : record["levels"]) {
    EXPECT_TRUE(level["proven"].get<bool>());
    EXPECT_GE(level["answers"]["ok"], 5);
    EXPECT_EQ(level["answers"]["wrong"], 0);
    EXPECT_EQ(level["answers"]["checked"], 2);
    EXPECT_GT(level["requests_per_s"], 0.0);
  }
  EXPECT_TRUE(record["knee_workers"].is_number());
  // Too few probes of /health in so short a time: no p99, and no pass without one.
  EXPECT_EQ(Line(*outcome, "health_p99").verdict, Verdict::kUnproven);
  EXPECT_EQ(outcome->overall, Verdict::kUnproven);
  std::ostringstream text;
  PrintOutcome(*outcome, false, text);
  EXPECT_NE(text.str().find("3 workers"), std::string::npos);
}

TEST(Stress, ErrorsAndWrongAnswersFail) {
  FakeServer broken({.mode = Mode::kError500});
  StressOptions options = ShortStress(broken);
  options.workers = {2};
  options.completions = 1;
  const auto outcome = RunStress(options);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(Line(*outcome, "errors_and_resets").verdict, Verdict::kFail);
  EXPECT_GT(outcome->record["levels"][0]["answers"]["server_errors"], 0);
  FakeServer liar({.counting_answers = true});
  const auto wrong = RunStress(ShortStress(liar));
  ASSERT_TRUE(wrong.ok());
  EXPECT_EQ(Line(*wrong, "wrong_answers").verdict, Verdict::kFail);
}

TEST(Stress, ALevelThatTakesTooLongIsUnproven) {
  FakeServer slow({.wait_ms = 400});
  StressOptions options = ShortStress(slow);
  options.workers = {1};
  options.level_s = 1;
  options.checks = 1;
  const auto outcome = RunStress(options);
  ASSERT_TRUE(outcome.ok());
  EXPECT_FALSE(outcome->record["levels"][0]["proven"].get<bool>());
  EXPECT_EQ(Line(*outcome, "errors_and_resets").verdict, Verdict::kUnproven);
  EXPECT_TRUE(outcome->record["knee_workers"].is_null());
}

TEST(Sessions, ComparesOneWithMany) {
  FakeServer server({.wait_ms = 2});
  SessionsOptions options;
  options.server.port = server.port();
  options.max_tokens = 64;
  options.sessions = 3;
  options.rounds = 3;
  options.at_least = 0.1;
  const auto outcome = RunSessions(options);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->record["tokens_per_s_alone"].size(), 3u);
  EXPECT_NE(outcome->overall, Verdict::kFail);
  options.at_least = 1000;
  EXPECT_NE(RunSessions(options)->overall, Verdict::kPass);
  options.sessions = 1;
  EXPECT_EQ(RunSessions(options).error().code, ErrorCode::kUsage);
}

TEST(Reuse, AFailingServerIsAnError) {
  FakeServer server({.mode = Mode::kError500});
  ReuseOptions options;
  options.server.port = server.port();
  options.rounds = 1;
  EXPECT_EQ(RunReuse(options).error().code, ErrorCode::kIo);
}

TEST(Neighbour, MeasuresItself) {
  auto neighbour = Neighbour::Create(size_t{1} << 20, "");
  ASSERT_TRUE(neighbour.ok());
  EXPECT_GT(neighbour->CopyBytesPerS(0.02), 1e6);
  EXPECT_GT(neighbour->ChaseP99Ns(0.02), 0.0);
  EXPECT_GT(*neighbour->JobSeconds(), 0.0);
  EXPECT_GT(*Neighbour::Create(size_t{1} << 20, "true")->JobSeconds(), 0.0);
  EXPECT_FALSE(Neighbour::Create(size_t{1} << 20, "false")->JobSeconds().ok());
  EXPECT_EQ(Neighbour::Create(1, "").error().code, ErrorCode::kUsage);
}

TEST(Foreground, PairsAndDoubts) {
  FakeServer server({.burn_ms = 5});
  ForegroundOptions options;
  options.server.port = server.port();
  options.max_tokens = 64;
  options.pairs = 2;
  options.seconds = 0.05;
  options.buffer_bytes = size_t{1} << 20;
  options.job = "true";
  const auto outcome = RunForeground(options);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->record["copy"]["loss"].size(), 2u);
  EXPECT_EQ(outcome->verdicts.size(), 3u);
  EXPECT_EQ(outcome->overall, Verdict::kUnproven);  // two pairs prove nothing
}

// 35 % of two CPUs up to the change, then 10 %; the new budget holds so many ticks later.
std::vector<os::CpuSample> Changed(int late_ticks) {
  std::vector<os::CpuSample> samples = {{0, 0}};
  for (int i = 0; i < 600; ++i) {
    const double share = i < 300 + late_ticks ? 0.35 : 0.10;
    samples.push_back({samples.back().monotonic_ns + 10 * kMs,
                       samples.back().cpu_ns + static_cast<int64_t>(share * 2 * 10 * kMs)});
  }
  return samples;
}

TEST(Change, FindsTheMomentFromWhichTheBudgetHolds) {
  const CpuBudget budget{0.10, 0.25};
  const auto at_once = HoldsAfterS(Changed(0), 3000 * kMs, 6000 * kMs, 2, budget);
  ASSERT_TRUE(at_once.has_value());
  EXPECT_NEAR(*at_once, 0.01, 0.011);
  const auto late = HoldsAfterS(Changed(30), 3000 * kMs, 6000 * kMs, 2, budget);
  ASSERT_TRUE(late.has_value());
  // Windows that reach 60 ms into the old rate are still at the new p99; the mean is not.
  EXPECT_NEAR(*late, 0.25, 0.06);
  EXPECT_FALSE(HoldsAfterS(Changed(300), 3000 * kMs, 6000 * kMs, 2, budget).has_value());
  EXPECT_FALSE(HoldsAfterS({}, 3000 * kMs, 6000 * kMs, 2, budget).has_value());
}

TEST(Change, AServerWithoutBudgetsIsAnError) {
  FakeServer server({});
  ChangeOptions options;
  options.server.port = server.port();
  EXPECT_EQ(RunChange(options).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace lull
