// The lines of the budget as they are declared to the real program: flags, the TOML file, and what
// is refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/lull_process.h"
#include "tests/support/raw_client.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class BudgetFlags : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / ("budget_flags_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    TinyModelSpec spec;
    spec.ctx = 256;
    ASSERT_TRUE(WriteTinyModel(spec, Tiny()).ok());
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string Tiny() { return (folder_ / "tiny.gguf").string(); }
  static std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  static Output Run(const std::string& flags) {
    return RunLull("run " + Tiny() + " --json --raw -n 4 " + flags + " -- x");
  }
  static Reply Ask(const RunningServer& server, const std::string& method, const std::string& path,
                   const Json& body = Json()) {
    const std::string text = body.is_null() ? "" : body.dump();
    Client client(server.port());
    client.Send(method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" +
                "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) +
                "\r\n\r\n" + text);
    return ReplyOf(client.ReadAll());
  }
  // What a server with these flags says is declared.
  static Json Declared(const std::string& flags) {
    const RunningServer server(Tiny() + " " + flags);
    EXPECT_GT(server.port(), 0) << server.said();
    if (server.port() == 0) return Json();
    return Json(Ask(server, "GET", "/budget").json())["declared"];
  }
  static void ExpectRefused(const std::string& flags, int exit_code, const std::string& code,
                            const std::string& where) {
    const Output output = Run(flags);
    EXPECT_EQ(output.exit_code, exit_code) << flags << "\n" << output.text;
    ASSERT_TRUE(output.json().is_object()) << flags << "\n" << output.text;
    const Json error = output.json()["error"];
    EXPECT_EQ(error["code"], code) << flags;
    EXPECT_EQ(error["where"], where) << flags;
    EXPECT_NE(error["hint"], "") << flags;
  }
  static fs::path folder_;
};
fs::path BudgetFlags::folder_;

const Json kAll = {{"cpu", "50%"},    {"cpu_p99", "80%"}, {"mem_bw", "8GB/s"},
                   {"ram", "512MiB"}, {"p95", "2.5s"},    {"kv_per_session", "16700kB"}};

TEST_F(BudgetFlags, EveryLineByFlag) {
  EXPECT_EQ(Declared("--cpu 50% --cpu-p99 80% --mem-bw 8GB/s --ram 512MiB --p95 2500ms "
                     "--kv-per-session 16.7MB"),
            kAll);
}

TEST_F(BudgetFlags, EveryLineByFileAndAFlagGoesBefore) {
  const std::string file = Write("all.toml",
                                 "# What it may use.\n"
                                 "cpu = \"50%\"\ncpu_p99 = \"0.8\"\nmem_bw = \"8000MB/s\"\n\n"
                                 "ram = \"0.5GiB\"\np95 = \"2.5s\"\n"
                                 "kv_per_session = \"16.7MB\"\n");
  EXPECT_EQ(Declared("--budget " + file), kAll);
  Json changed = kAll;
  changed["cpu"] = "40%";
  changed["ram"] = "1GiB";
  changed["p95"] = nullptr;
  EXPECT_EQ(Declared("--budget " + file + " --cpu 40% --ram 1GiB --p95 none"), changed);
}

// Two pages of K and V a session: an answer ends there, a longer prompt is refused with the sum.
TEST_F(BudgetFlags, ASessionsShareHoldsForEachRequest) {
  Json request = {{"model", "tiny"}, {"prompt", "x"}, {"max_tokens", 4}, {"ignore_eos", true}};
  int64_t page_bytes = 0;
  {
    const RunningServer server(Tiny());
    ASSERT_GT(server.port(), 0) << server.said();
    const Reply reply = Ask(server, "POST", "/v1/completions", request);
    ASSERT_EQ(reply.status, 200) << reply.body;
    page_bytes = reply.json()["lull"]["kv_bytes"].get<int64_t>();
    ASSERT_GT(page_bytes, 0);
  }
  const RunningServer server(Tiny() + " --kv-per-session " + std::to_string(2 * page_bytes) + "B");
  ASSERT_GT(server.port(), 0) << server.said();
  request["max_tokens"] = 200;
  const Reply cut = Ask(server, "POST", "/v1/completions", request);
  ASSERT_EQ(cut.status, 200) << cut.body;
  EXPECT_EQ(cut.json()["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(cut.json()["usage"]["total_tokens"], 128);
  EXPECT_EQ(cut.json()["lull"]["kv_bytes"], 2 * page_bytes);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "abcdefghijklmnopqrstuvwxyz"[i * 7 % 26];
  request["prompt"] = text;
  const Reply refused = Ask(server, "POST", "/v1/completions", request);
  EXPECT_EQ(refused.status, 400) << refused.body;
  EXPECT_NE(refused.body.find("but a session may hold"), std::string::npos) << refused.body;
}

TEST_F(BudgetFlags, TheLedgerHasConnectionsAndThePrefixCache) {
  const RunningServer server(Tiny());
  ASSERT_GT(server.port(), 0) << server.said();
  std::string text;
  for (int i = 0; i < 200; ++i) text += "abcdefghijklmnopqrstuvwxyz"[i * 7 % 26];
  const Json request = {{"model", "tiny"}, {"prompt", text}, {"max_tokens", 2}};
  ASSERT_EQ(Ask(server, "POST", "/v1/completions", request).status, 200);
  const Json memory = Json(Ask(server, "GET", "/budget").json())["memory"];
  EXPECT_GT(memory["sockets_bytes"], 1000);  // of the one that asks
  EXPECT_LT(memory["sockets_bytes"], 100'000);
  EXPECT_GT(memory["prefix_cache_bytes"], 0);
  const std::string metrics = Ask(server, "GET", "/metrics").body;
  EXPECT_NE(metrics.find("\nlull_oldest_wait_seconds 0\n"), std::string::npos);
  EXPECT_EQ(metrics.find("part=\"prefix_cache\"} 0\n"), std::string::npos);
}

TEST_F(BudgetFlags, ValuesThatAreNoneAreRefusedWithTheirFlag) {
  for (const auto& [flags, where] :
       {std::pair{"--cpu 130%", "--cpu"}, std::pair{"--cpu -1%", "--cpu"},
        std::pair{"--cpu 50% --cpu-p99 0%", "--cpu-p99"}, std::pair{"--cpu-p99 50%", "--cpu-p99"},
        std::pair{"--mem-bw 8GB", "--mem-bw"}, std::pair{"--mem-bw 0GB/s", "--mem-bw"},
        std::pair{"--ram 512", "--ram"}, std::pair{"--ram -1GB", "--ram"},
        std::pair{"--ram 99999999TB", "--ram"}, std::pair{"--p95 2.5", "--p95"},
        std::pair{"--p95 nans", "--p95"}, std::pair{"--kv-per-session x", "--kv-per-session"},
        std::pair{"--courtesy maybe", "--courtesy"}, std::pair{"--cpu ''", "--cpu"}})
    ExpectRefused(flags, 2, "usage", where);
}

TEST_F(BudgetFlags, LinesOfTheFileAreNamedByNumber) {
  for (const auto& [text, where] :
       {std::pair{"cpu = \"50%\"\nmemory = \"1GB\"\n", ":2: memory"},
        std::pair{"\n\ncpu = 50\n", ":3: cpu"},
        std::pair{"cpu = \"50%\"\nram = \"12 apples\"\n", ":2: ram"},
        std::pair{"[cpu]\nmean = \"50%\"\n", ":1: cpu"},
        std::pair{"cpu = \"50%\"\ncpu = \"50%\"\n", ":2"}, std::pair{"cpu = \"50%\n", ":1"}}) {
    const std::string file = Write("bad.toml", text);
    ExpectRefused("--budget " + file, 2, "usage", file + where);
  }
  const std::string lacking = (folder_ / "lacking.toml").string();
  ExpectRefused("--budget " + lacking, 3, "not_found", lacking);
  const std::string long_file = Write("long.toml", std::string(1 << 17, '#'));
  ExpectRefused("--budget " + long_file, 2, "usage", long_file);
}

// Exit code 4; the message has the sum, and what the hint names is accepted.
TEST_F(BudgetFlags, WhatCannotBeKeptIsRefusedWithTheSum) {
  const struct {
    const char* flags;
    const char* where;
    const char* sum;
    const char* possible;
  } cases[] = {
      {"--cpu 50% --cpu-p99 20%", "--cpu-p99", "", "--cpu 50% --cpu-p99 80%"},
      {"--ram 22MB", "--ram", " MB = ", "--ram 512MiB"},
      {"--p95 0.000001ms", "--p95", "multiply-accumulates", "--p95 2.5s"},
      {"--p95 1ms --mem-bw 1kB/s", "--mem-bw", "one token reads", "--p95 1s --mem-bw 1GB/s"},
      {"--kv-per-session 1kB", "--kv-per-session", "but a session may hold",
       "--kv-per-session 16.7MB"},
  };
  for (const auto& one : cases) {
    ExpectRefused(one.flags, 4, "budget_impossible", one.where);
    const std::string message = Run(one.flags).json()["error"]["message"];
    EXPECT_NE(message.find(one.sum), std::string::npos) << message;
    EXPECT_EQ(Run(one.possible).exit_code, 0) << one.possible;
  }
}

// No line would be no cap.
TEST_F(BudgetFlags, AFileThatSaysNothingIsRefused) {
  std::ofstream(folder_ / "empty.toml") << " \n";
  for (const fs::path& path : {folder_ / "empty.toml", folder_}) {
    const Output output =
        RunLull("run " + Tiny() + " --raw --json --budget " + path.string() + " -- text");
    EXPECT_EQ(output.exit_code, 2) << output.text;
    EXPECT_EQ(output.json()["error"]["where"], path.string());
  }
}

}  // namespace
}  // namespace lull
