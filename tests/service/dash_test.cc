// The dashboard: its page, the last minute's figures, the evidence it names, what a server tells.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>

#include "service/dash/load_history.h"
#include "service/dash/page.h"
#include "service/dash/stats.h"
#include "tests/service/server_fixture.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;

TEST(DashPage, IsOneSmallPageThatAsksNobodyElse) {
  const DashPage& page = TheDashPage();
  EXPECT_LE(page.html.size(), 60u * 1024);
  EXPECT_EQ(page.html.find("/*STYLE*/"), std::string::npos);
  EXPECT_EQ(page.html.find("/*SCRIPT*/"), std::string::npos);
  for (const char* outside : {"src=", "@import", "url(", "//cdn", "<link rel=\"stylesheet\"",
                              "innerHTML", "eval(", "style=\"", "onclick="})
    EXPECT_EQ(page.html.find(outside), std::string::npos) << outside;
  // The only addresses are the names of SVG's elements.
  const std::regex address("https?://[^'\" ]*");
  for (std::sregex_iterator it(page.html.begin(), page.html.end(), address), end; it != end; ++it)
    EXPECT_EQ(it->str(), "http://www.w3.org/2000/svg");
}

TEST(DashPage, PolicyNamesExactlyItsStyleAndScript) {
  const DashPage& page = TheDashPage();
  const std::string& policy = page.content_security_policy;
  EXPECT_TRUE(policy.starts_with("default-src 'none'; ")) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(policy.find('*'), std::string::npos);
  for (const char* kind : {"script-src", "style-src"})
    EXPECT_TRUE(
        std::regex_search(policy, std::regex(std::string(kind) + " 'sha256-[A-Za-z0-9+/]{43}='")))
        << policy;
}

TEST(DashPage, EveryFieldHasALabelAndEverySectionATitle) {
  const std::string& html = TheDashPage().html;
  const auto count = [&](const std::string& pattern) {
    const std::regex regex(pattern);
    return std::distance(std::sregex_iterator(html.begin(), html.end(), regex),
                         std::sregex_iterator());
  };
  EXPECT_EQ(count("<section "), count("<section [^>]*aria-labelledby="));
  EXPECT_EQ(count("<(input|textarea) "), count("<label "));
  EXPECT_EQ(count("<svg id"), count("<svg [^>]*role=\"img\""));
  EXPECT_NE(html.find("<html lang="), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(LoadHistory, RatesOfWholeSeconds) {
  LoadHistory history(2);
  for (int i = 0; i <= 30; ++i)  // 3 s: 35 % of 2 CPUs, 10 tokens a window
    history.AddWindow({10 * kSecond + i * 100 * kMs, i * 70 * kMs, i * 1000, 0, i * 10}, 0.5);
  const std::vector<LoadPoint> points = history.Points();
  ASSERT_EQ(points.size(), 3u);
  for (const LoadPoint& point : points) {
    EXPECT_NEAR(point.cpu_share, 0.35, 1e-9);
    EXPECT_NEAR(point.cpu_share_max, 0.35, 1e-9);
    EXPECT_NEAR(point.bytes_per_s, 10000, 1e-6);
    EXPECT_NEAR(point.new_tokens_per_s, 100, 1e-6);
  }
  EXPECT_EQ(history.windows(), 30);
  EXPECT_EQ(history.windows_over(), 0);
}

TEST(LoadHistory, WindowsOverTheLimitAreCountedUntilTheyAreOld) {
  LoadHistory history(1);
  int64_t cpu = 0;
  for (int i = 0; i <= 1200; ++i) {
    cpu += i >= 100 && i < 107 ? 60 * kMs : 30 * kMs;
    history.AddWindow({kSecond + i * 100 * kMs, cpu, 0, 0, 0}, 0.5);
    if (i != 200) continue;
    EXPECT_EQ(history.windows_over(), 7);
    EXPECT_NEAR(history.Points()[10].cpu_share_max, 0.6, 1e-9);
  }
  EXPECT_EQ(history.windows(), static_cast<int64_t>(LoadHistory::kWindows));
  EXPECT_EQ(history.windows_over(), 0);
  EXPECT_EQ(history.Points().size(), static_cast<size_t>(LoadHistory::kSeconds));
}

// A stretch without readings is its average, and no window; none of its counts is lost.
TEST(LoadHistory, AGapIsSpread) {
  LoadHistory history(1);
  history.AddWindow({kSecond, 0, 0, 0, 0}, 0.5);
  history.AddWindow({11 * kSecond, kSecond, 0, 0, 500}, 0.5);
  EXPECT_EQ(history.windows(), 0);
  const std::vector<LoadPoint> points = history.Points();
  ASSERT_EQ(points.size(), 10u);
  for (const LoadPoint& point : points) {
    EXPECT_NEAR(point.cpu_share, 0.1, 1e-9);
    EXPECT_NEAR(point.new_tokens_per_s, 50, 1e-9);
  }
  history.Add({int64_t{100000} * kSecond, 2 * kSecond, 0, 0, 500});
  EXPECT_EQ(history.Points().size(), static_cast<size_t>(LoadHistory::kSeconds));
}

TEST(LoadHistory, CountersThatFallOrStandStillAreNoRate) {
  LoadHistory history(1);
  history.Add({kSecond, 0, 0, 0, 900});
  history.Add({2 * kSecond, 0, 0, 0, 100});  // a model was unloaded
  history.Add({2 * kSecond, 0, 0, 0, 100});  // the same moment again
  history.Add({1 * kSecond, 0, 0, 0, 100});  // and one before it
  ASSERT_EQ(history.Points().size(), 1u);
  EXPECT_EQ(history.Points()[0].new_tokens_per_s, 0);
}

TEST(LastEvidence, IsTheLastWholeRecord) {
  const std::string path =
      (std::filesystem::path(testing::TempDir()) / "dash_evidence.jsonl").string();
  const auto write = [&](const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    return LastEvidence(path);
  };
  EXPECT_TRUE(LastEvidence("/nowhere/records.jsonl").is_null());
  EXPECT_TRUE(write("").is_null());
  EXPECT_TRUE(write("no json\n").is_null());
  EXPECT_TRUE(write("[1]\n").is_null());
  const Json evidence = write(
      "{\"overall\":\"fail\"}\n"
      "{\"overall\":\"pass\",\"kind\":\"budget_bench\",\"time\":\"2026-01-02T03:04:05Z\","
      "\"id\":\"abc\"}\n");
  EXPECT_EQ(evidence["verdict"], "pass");
  EXPECT_EQ(evidence["id"], "abc");
  EXPECT_EQ(evidence["file"], "dash_evidence.jsonl");
  // Before it a megabyte of others; a field of another type is none.
  std::string many;
  for (int i = 0; i < 20000; ++i) many += "{\"overall\":\"unproven\",\"kind\":\"other one\"}\n";
  EXPECT_EQ(write(many + "{\"overall\":7}\n")["verdict"], "");
  std::filesystem::remove(path);
}

TEST_F(ServiceTest, DashboardIsOnePageWithAStrictPolicy) {
  const Reply page = Ask(RequestText("GET", "/dash", ""));
  EXPECT_EQ(page.status, 200);
  EXPECT_NE(page.head.find("Content-Security-Policy: default-src 'none';"), std::string::npos);
  EXPECT_NE(page.head.find("text/html"), std::string::npos);
  EXPECT_NE(page.body.find("</html>"), std::string::npos);
}

// got has exactly want's fields, of want's types; null in want: a number or null.
void ExpectForm(const Json& want, const Json& got, const std::string& path) {
  if (want.is_null()) {
    EXPECT_TRUE(got.is_null() || got.is_number()) << path;
  } else if (want.is_number()) {
    EXPECT_TRUE(got.is_number()) << path;
  } else if (!want.is_object()) {
    EXPECT_EQ(got.type(), want.type()) << path;
  } else {
    ASSERT_TRUE(got.is_object()) << path;
    EXPECT_EQ(got.size(), want.size()) << path;
    for (const auto& [key, value] : want.items()) {
      ASSERT_TRUE(got.contains(key)) << path << "/" << key;
      ExpectForm(value, got[key], path + "/" + key);
    }
  }
}

// Exactly these fields, with these types: the page, `lull status` and other people's scripts read
// them.
TEST_F(ServiceTest, DashboardFigures) {
  const Json number = 0, text = "", list = Json::array(), flag = false;
  const Json figures = {{"p50", nullptr}, {"p95", nullptr}, {"p99", nullptr}};
  const Json form = {
      {"version", text},
      {"uptime_s", number},
      {"draining", flag},
      {"cpu",
       {{"cpus", number},
        {"threads", number},
        {"share", number},
        {"mean_budget", number},
        {"p99_budget", number},
        {"allowed", number},
        {"windows", number},
        {"windows_over", number},
        {"cpu_s", number}}},
      {"bus", {{"bytes_per_s", number}, {"budget", number}}},
      {"memory", {{"measured_bytes", number}, {"limit_bytes", number}, {"parts", list}}},
      {"latency",
       {{"target_p95_s", number}, {"samples", number}, {"ttft_s", figures}, {"e2e_s", figures}}},
      {"tokens",
       {{"prefill_per_s", number},
        {"decode_per_s", number},
        {"prompt_total", number},
        {"new_total", number}}},
      {"queue",
       {{"running", number},
        {"waiting", number},
        {"oldest_wait_ms", nullptr},
        {"finished", number},
        {"cancelled", number},
        {"refused", number},
        {"invalid", number},
        {"kv_pages_used", number},
        {"kv_pages_total", number}}},
      {"models", list},
      {"host",
       {{"busy", number},
        {"others", number},
        {"pressure", nullptr},
        {"courtesy_factor", number},
        {"throttled_s", number},
        {"power", text}}},
      {"evidence", nullptr},
      {"doctor", list},
      {"requests", list},
      {"history",
       {{"period_s", number},
        {"cpu", list},
        {"cpu_max", list},
        {"bus", list},
        {"prefill", list},
        {"decode", list}}}};
  Post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 8}, {"ignore_eos", true}});
  const Reply reply = Ask(RequestText("GET", "/dash/stats", ""));
  ASSERT_EQ(reply.status, 200) << reply.body;
  ExpectForm(form, reply.json(), "");
  EXPECT_EQ(reply.json()["models"][0]["id"], "tiny");
  EXPECT_GE(reply.json()["tokens"]["new_total"], 8);
  EXPECT_GT(reply.json()["cpu"]["cpu_s"], 0);
  EXPECT_GT(reply.json()["memory"]["measured_bytes"], 0);
  EXPECT_LE(reply.body.size(), 64u << 10);
  ASSERT_EQ(reply.json()["requests"].size(), 1u);
  const Json request = reply.json()["requests"][0];
  for (const char* field : {"id", "total_ms", "prompt_tokens", "new_tokens", "finish_reason"})
    EXPECT_TRUE(request.contains(field)) << field;
  for (const char* field :
       {"queue_ms", "prefill_ms", "decode_ms", "throttled_ms", "cpu_ms", "cached_tokens"})
    EXPECT_TRUE(request["lull"].contains(field)) << field;
  EXPECT_EQ(reply.json()["latency"]["samples"], 1);
}

// Watchers, requests and the sampler's own thread at once; for TSan.
TEST_F(ServiceTest, ManyWatchWhileRequestsRun) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([this] {
      for (int turn = 0; turn < 10; ++turn)
        EXPECT_EQ(Ask(RequestText("GET", "/dash/stats", "")).status, 200);
    });
  for (int i = 0; i < 4; ++i)
    Post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 16}, {"ignore_eos", true}});
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(load_->Watch().history.size() <= LoadHistory::kSeconds, true);
}

}  // namespace
}  // namespace lull
