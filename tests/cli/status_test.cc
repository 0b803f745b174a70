// What status, explain and doctor print: of made-up figures, and of a server that runs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "cli/server_link.h"
#include "cli/status_text.h"
#include "tests/cli/lull_process.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

Json SomeStats() {
  return Json::parse(R"({
    "version": "0.1.0", "uptime_s": 200,
    "cpu": {"cpus": 2, "threads": 1, "share": 0.312, "mean_budget": 0.35, "p99_budget": 0.5,
            "allowed": 0.2, "windows": 600, "windows_over": 2},
    "bus": {"bytes_per_s": 5e9, "budget": 8e9},
    "memory": {"measured_bytes": 134000000, "limit_bytes": 170000000,
               "parts": [{"name": "weights", "bytes": 90000000}, {"name": "KV", "bytes": 0}]},
    "latency": {"target_p95_s": 2.5, "samples": 40,
                "ttft_s": {"p50": 0.1, "p95": 0.3, "p99": null},
                "e2e_s": {"p50": 0.7, "p95": 1.5, "p99": null}},
    "tokens": {"prefill_per_s": 300, "decode_per_s": 120.5, "prompt_total": 9, "new_total": 8},
    "queue": {"running": 2, "waiting": 1, "oldest_wait_ms": 120, "finished": 40, "refused": 3},
    "models": [{"id": "smollm2"}],
    "host": {"busy": 0.55, "others": 0.2, "courtesy_factor": 0.57},
    "evidence": {"file": "budget.jsonl", "id": "abc", "verdict": "pass", "time": "2026-01-01"},
    "doctor": [{"name": "huge pages", "message": "switched off", "fix": "x"}],
    "requests": [{"id": "r-1", "prompt_tokens": 280, "new_tokens": 61,
                  "lull": {"queue_ms": 12, "prefill_ms": 300, "decode_ms": 900,
                           "throttled_ms": 700}}]})");
}

TEST(StatusScreen, SaysWhatIsUsedAndLeft) {
  const std::string text = StatusScreen(SomeStats(), "http://x:1", Painter(false));
  for (const char* says :
       {"smollm2", "up 3 min", "31.2 % of 35.0 %, 3.8 % left", "2 of 600 watched windows",
        "stepping back", "5.0 GB/s of 8.0 GB/s, 3.0 GB/s left", "36.0 MB left", "weights 90.0 MB",
        "120.5 written", "2 running, 1 waiting (longest 120 ms)", "3 refused", "p95 300 ms",
        "p95 target 2.50 s", "courtesy factor 0.57", "huge pages: switched off", "pass", "280+61",
        "r-1"})
    EXPECT_NE(text.find(says), std::string::npos) << says << "\n" << text;
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 24) << "more than one screen";
  EXPECT_NE(StatusScreen(SomeStats(), "", Painter(true)).find('\033'), std::string::npos);
}

TEST(StatusScreen, TakesWhateverAServerSends) {
  for (const char* text :
       {"{}", R"({"cpu": 3, "models": {"a": 1}, "requests": [1, null, "x"], "doctor": "no"})",
        R"({"cpu": {"share": "high", "mean_budget": null}, "latency": [], "memory": {"parts": 7}})",
        R"({"cpu": {"share": 1e300, "mean_budget": -1e300}, "memory": {"measured_bytes": 1e300},
            "uptime_s": 1e300})"}) {
    const Json stats = Json::parse(text);
    EXPECT_FALSE(StatusScreen(stats, "", Painter(false)).empty());
    EXPECT_FALSE(GaugeLine(stats, Painter(false)).empty());
    EXPECT_FALSE(Explanation(stats, Painter(false)).empty());
  }
}

// Two thousand damaged answers: none crashes, none reaches the terminal's ear.
TEST(StatusScreen, TakesMutatedAnswers) {
  const std::string good = SomeStats().dump();
  uint64_t state = 7;
  const auto next = [&state](size_t below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<size_t>(state >> 33) % below;
  };
  for (int round = 0; round < 2000; ++round) {
    std::string text = good;
    for (size_t i = 0; i < 1 + next(4); ++i)
      text.replace(next(text.size()), next(3), std::string(next(3), "0{}[]\"nul,:9e"[next(14)]));
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) continue;
    const std::string shown = StatusScreen(json, "", Painter(false)) +
                              GaugeLine(json, Painter(false)) + Explanation(json, Painter(false));
    for (const char c : shown)
      ASSERT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
  }
}

TEST(StatusScreen, PrintsNothingThatATerminalObeys) {
  Json stats = SomeStats();
  stats["models"][0]["id"] =
      "a\x1b]0;title\x07\xc2\x9b"
      "b\r\n";
  const std::string text = StatusScreen(stats, "", Painter(false));
  for (const char* bad : {"\x1b", "\x07", "\r", "\xc2\x9b"})
    EXPECT_EQ(text.find(bad), std::string::npos);
}

TEST(Gauge, IsOneShortLine) {
  const std::string line = GaugeLine(SomeStats(), Painter(false));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_LE(Columns(line), 110u) << line;
  for (const char* says : {"31.2 % of 35.0 %", "120 tok/s", "2 running 1 waiting", "134 MB"})
    EXPECT_NE(line.find(says), std::string::npos) << says << "\n" << line;
}

Json SomeRequest(double queue, double prefill, double decode, double throttled) {
  return {{"id", "chatcmpl-7"},
          {"endpoint", "/v1/chat/completions"},
          {"model", "smollm2"},
          {"finish_reason", "stop"},
          {"prompt_tokens", 280},
          {"new_tokens", 50},
          {"total_ms", queue + prefill + decode},
          {"lull",
           {{"queue_ms", queue},
            {"prefill_ms", prefill},
            {"decode_ms", decode},
            {"throttled_ms", throttled},
            {"cpu_ms", prefill + decode - throttled},
            {"bytes_moved", 4e9},
            {"kv_bytes", 6e6},
            {"cached_tokens", 128}}}};
}

// The heaviest reason comes first.
TEST(Explanation, NamesWhatWeighsMost) {
  const auto first = [](const Json& request) {
    const std::string text = Explanation(request, Painter(false));
    return text.substr(text.find("Where the time went"));
  };
  EXPECT_NE(first(SomeRequest(900, 50, 50, 0)).find("90 % of it: waiting"), std::string::npos);
  EXPECT_NE(first(SomeRequest(0, 200, 800, 700)).find("70 % of it: asleep"), std::string::npos);
  const std::string prompt = first(SomeRequest(0, 800, 200, 0));
  EXPECT_LT(prompt.find("80 % of it: reading the prompt, 152 tokens (128 more"),
            prompt.find("20 % of it: writing 50 tokens, 4.0 ms each"))
      << prompt;
  Json starved = SomeRequest(0, 100, 900, 0);
  starved["lull"]["cpu_ms"] = 100;
  EXPECT_NE(first(starved).find("0.10 CPUs' worth"), std::string::npos);
}

TEST(Explanation, SaysHowItStandsToTheDeclaredLatency) {
  Json request = SomeRequest(500, 250, 250, 0);
  EXPECT_EQ(Explanation(request, Painter(false)).find("p95"), std::string::npos);
  request["p95_s"] = 2.5;
  EXPECT_NE(Explanation(request, Painter(false)).find("within the p95 of 2.5"), std::string::npos);
  request["p95_s"] = 0.5;
  EXPECT_NE(Explanation(request, Painter(false)).find("beyond the p95 of 500"), std::string::npos);
}

TEST(Explanation, DrawsTheTimesWhereTheyLie) {
  const std::string text = Explanation(SomeRequest(500, 250, 250, 0), Painter(false));
  const size_t answer = text.find("answer ");
  const std::string row = text.substr(answer, text.find('\n', answer) - answer);
  EXPECT_EQ(
      row, "answer       250 ms  " + std::string(33, ' ') + [] {
        std::string bar;
        for (int i = 0; i < 11; ++i) bar += "━";
        return bar;
      }());
}

TEST(ServerUrl, Parts) {
  const auto parse = [](const std::string& url) { return ParseServerUrl(url); };
  EXPECT_EQ(parse("http://127.0.0.1:8080/")->port, 8080);
  EXPECT_EQ(parse("http://localhost")->port, 80);
  EXPECT_EQ(parse("http://[::1]:9")->host, "::1");
  for (const char* bad : {"", "127.0.0.1", "http://", "http://:80", "http://a:0", "http://a:99999",
                          "http://a:8x", "http://a/b", "ftp://a", "http://u@a"})
    EXPECT_FALSE(parse(bad).ok()) << bad;
  EXPECT_EQ(parse("https://a").status().code(), ErrorCode::kUnsupported);
}

TEST(TerminalText, NumbersAndBars) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1500), "1.5 kB");
  EXPECT_EQ(BytesText(-36e6), "-36.0 MB");
  EXPECT_EQ(MsText(3.14159), "3.1 ms");
  EXPECT_EQ(MsText(12345), "12.3 s");
  EXPECT_EQ(AgeText(7500), "2 h 5 min");
  EXPECT_EQ(Bar(0.5, 4), "━━──");
  EXPECT_EQ(Bar(0.25, 4, 0.5), "━─┃─");
  EXPECT_EQ(Bar(7.0, 3), "━━━");
  EXPECT_EQ(Columns(Left("é", 3)), 3u);
  EXPECT_EQ(Printable("abc", 2), "ab");
}

TEST(StatusCommand, AsksARunningServer) {
  const fs::path folder = fs::path(testing::TempDir()) / ("status_" + std::to_string(getpid()));
  fs::create_directories(folder);
  TinyModelSpec spec;
  spec.ctx = 256;
  ASSERT_TRUE(WriteTinyModel(spec, (folder / "tiny.gguf").string()).ok());
  {
    const RunningServer server((folder / "tiny.gguf").string());
    ASSERT_GT(server.port(), 0);
    const std::string port = "--port " + std::to_string(server.port());
    const Output status = RunLull("status " + port);
    const std::string& screen = status.text;
    EXPECT_EQ(status.exit_code, 0);
    EXPECT_NE(screen.find("tiny"), std::string::npos) << screen;
    EXPECT_EQ(screen.find('\033'), std::string::npos) << "colours without a terminal";
    const Json stats = RunLull("status --json " + port).json();
    EXPECT_TRUE(stats.is_object() && stats.contains("cpu"));
    EXPECT_NE(RunLull("status --watch --seconds 1 " + port).text.find("CPU"), std::string::npos);
    EXPECT_EQ(RunLull("explain no-such-request " + port).exit_code, 3);
    EXPECT_EQ(RunLull("explain 'a b' " + port).exit_code, 2);
    const Output doctor = RunLull("doctor " + port);
    EXPECT_EQ(doctor.exit_code, 1);
    EXPECT_NE(doctor.text.find("is taken by process"), std::string::npos) << doctor.text;
  }
  EXPECT_EQ(RunLull("status --port 1").exit_code, 3);
  const Output doctor = RunLull("doctor --json");
  ASSERT_TRUE(doctor.json().is_object());
  EXPECT_EQ(doctor.json()["ok"].get<bool>(), doctor.exit_code == 0);
  EXPECT_GE(doctor.json()["findings"].size(), 11u);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lull
