// The command line as other programs see it: exit codes, JSON on stdout, errors with code and hint.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/gguf_writer.h"
#include "tests/cli/lull_process.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class CliTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / ("cli_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    TinyModelSpec spec;
    spec.ctx = 256;
    ASSERT_TRUE(WriteTinyModel(spec, Tiny()).ok());
    spec.chat_template = false;
    ASSERT_TRUE(WriteTinyModel(spec, (folder_ / "plain.gguf").string()).ok());
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string Tiny() { return (folder_ / "tiny.gguf").string(); }
  static std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  // stdout and exit code of lull ARGS < input.
  static Output Lull(const std::string& args, const std::string& input = "") {
    return Shell(args + " <'" + Write("stdin", input) + "'");
  }
  // The same with what the shell is to do with the streams.
  static Output Shell(const std::string& args) {
    return RunLull(args, "LULL_HOME='" + folder_.string() + "'");
  }
  static void ExpectError(const Output& output, int exit_code, const std::string& code) {
    EXPECT_EQ(output.exit_code, exit_code) << output.text;
    ASSERT_TRUE(output.json().is_object()) << output.text;
    EXPECT_EQ(output.json()["error"]["code"], code);
    for (const char* field : {"message", "where", "hint"})
      EXPECT_TRUE(output.json()["error"].contains(field));
  }
  static fs::path folder_;
};
fs::path CliTest::folder_;

TEST_F(CliTest, RunRawIsTheFixedForm) {
  const Output output = Lull(
      "run " + Tiny() +
      " --raw --json -n 9 --temp 0 --logprobs 3 --ignore-eog -t 2 --isa scalar -- 'some text'");
  ASSERT_EQ(output.exit_code, 0) << output.text;
  const Json json = output.json();
  EXPECT_EQ(json["tokens"].size(), 9u);
  EXPECT_EQ(json["finish"], "length");
  ASSERT_EQ(json["logprobs"].size(), 9u);
  ASSERT_EQ(json["logprobs"][0].size(), 3u);
  EXPECT_EQ(json["logprobs"][0][0]["id"], json["tokens"][0]);
  for (const char* field : {"prompt_tokens", "new_tokens", "prefill_tok_s", "decode_tok_s",
                            "load_s", "wall_s", "cpu_s", "peak_rss_bytes"})
    EXPECT_TRUE(json["stats"].contains(field)) << field;
}

// What a model thinks goes to stderr; a chat keeps it apart in what it remembers.
TEST_F(CliTest, ReasoningIsNotTheAnswer) {
  TinyModelSpec spec;
  spec.ctx = 256;
  spec.chat_template = false;
  GgufWriter writer;
  ASSERT_TRUE(BuildTinyModel(spec, &writer).ok());
  writer.AddString("tokenizer.chat_template",
                   "{% for message in messages %}{{ message.content }}{% endfor %}<think>\n"
                   "{# </think> #}");
  const std::string path = (folder_ / "thinks.gguf").string();
  ASSERT_TRUE(writer.Write(path).ok());
  const std::string flags = " -n 5 --temp 0 --ignore-eog ";
  EXPECT_EQ(Lull("run " + path + flags + "hi").text, "\n");
  EXPECT_GT(Lull("run " + path + flags + "--raw hi").text.size(), 1u);
  const Json message = Lull("chat --json " + path + flags, "hi\n").json();
  EXPECT_EQ(message["content"], "");
  EXPECT_NE(message["reasoning_content"], "");
}

TEST_F(CliTest, SameTokensUnderABudgetAndOnEveryInstructionSet) {
  const std::string args =
      "run " + Tiny() + " --raw --json -n 24 --temp 0 --logprobs 2 --ignore-eog ";
  const Json want = Lull(args + "--isa scalar -t 1 -- 'some text'").json()["logprobs"];
  ASSERT_EQ(want.size(), 24u);
  for (const char* flags : {"--cpu 10%", "--cpu 35% --cpu-p99 50%", "-t 1", "-t 2", "--isa avx2",
                            "--isa avx2vnni", "--isa avx512", "--isa amx"}) {
    const Output output = Lull(args + flags + " -- 'some text'");
    if (output.exit_code == 2 && std::string(flags).rfind("--isa", 0) == 0)
      continue;  // lacking here
    EXPECT_EQ(output.json()["logprobs"], want) << flags;
  }
}

TEST_F(CliTest, ScoreAgreesWithRun) {
  const Json run =
      Lull("run " + Tiny() + " --raw --json -n 5 --temp 0 --logprobs 4 --ignore-eog -- 'abc'")
          .json();
  std::vector<int> tokens = Lull("tokenize " + Tiny() + " --json", "abc").json()["tokens"];
  const size_t prompt = tokens.size();
  for (const int id : run["tokens"]) tokens.push_back(id);
  const Json score = Lull("score " + Tiny() + " --tokens " + Write("t.json", Json(tokens).dump()) +
                          " --json --logprobs 4")
                         .json();
  ASSERT_EQ(score["positions"].size(), tokens.size());
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(score["positions"][prompt - 1 + i], run["logprobs"][i]) << i;
}

TEST_F(CliTest, TemplateTokenizeInspect) {
  const Output rendered =
      Lull("template " + Tiny() + " --json", R"([{"role":"user","content":"hi"}])");
  ASSERT_EQ(rendered.exit_code, 0);
  EXPECT_NE(rendered.json()["prompt"].get<std::string>().find("hi"), std::string::npos);
  EXPECT_EQ(
      Lull("inspect " + Tiny() + " --json").json()["keys"]["general.architecture"].is_string(),
      true);
  ExpectError(Lull("template " + (folder_ / "plain.gguf").string() + " --json", "[]"), 3,
              "unsupported");
}

TEST_F(CliTest, PackIsUsedByLaterStarts) {
  const std::string model = (folder_ / "packed.gguf").string();
  fs::copy_file(Tiny(), model);
  ExpectError(Lull("pack " + model + " --verify --json"), 3, "not_found");
  const std::string answer = Lull("run " + model + " --raw -n 8 --temp 0 hi").text;
  const Output packed = Lull("pack " + model + " --json");
  ASSERT_EQ(packed.exit_code, 0) << packed.text;
  EXPECT_EQ(packed.json()["packed"], model + ".pack");
  EXPECT_EQ(Lull("pack " + model + " --verify").exit_code, 0);
  EXPECT_EQ(Lull("run " + model + " --raw -n 8 --temp 0 hi").text, answer);
  EXPECT_NE(answer, "");
  EXPECT_EQ(Lull("pack " + model + " --force").exit_code, 0);
  {
    std::fstream file(model + ".pack", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(9000);
    file.put('x');
    file.put('y');
  }
  ExpectError(Lull("pack " + model + " --verify --json"), 3, "invalid_input");
  // The header says nothing of it: it is made anew when asked for.
  EXPECT_EQ(Lull("pack " + model).exit_code, 0);
  EXPECT_EQ(Lull("pack " + model + " --verify").exit_code, 3);
  EXPECT_EQ(Lull("pack " + model + " --force").exit_code, 0);
  EXPECT_EQ(Lull("pack " + model + " --verify").exit_code, 0);
  std::ofstream(model + ".pack") << "not a pack";
  EXPECT_EQ(Lull("run " + model + " --raw -n 8 --temp 0 hi").text, answer);
}

TEST_F(CliTest, PerplexityAndBench) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "line " + std::to_string(i) + " of a text\n";
  const Output output =
      Lull("perplexity " + Tiny() + " " + Write("text", text) + " --ctx 64 --json");
  ASSERT_EQ(output.exit_code, 0) << output.text;
  EXPECT_GT(output.json()["perplexity"], 1.0);
  EXPECT_EQ(output.json()["tokens"], output.json()["chunks"].get<int>() * 31);
  const Json bench = Lull("bench " + Tiny() + " -p 16 -n 4 -r 2 -t 1,2 --json").json();
  ASSERT_EQ(bench["results"].size(), 2u);
  EXPECT_GT(bench["results"][1]["decode_tok_s"]["median"], 0.0);
}

TEST_F(CliTest, BadOptionsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"--temp -1", "--temp"},         {"--temp x", "--temp"},
      {"--temp nan", "--temp"},        {"--top-p 2", "--top-p"},
      {"--top-k -3", "--top-k"},       {"--repeat-penalty 0", "--repeat-penalty"},
      {"--cpu 130%", "--cpu"},         {"-n 0", "--max-tokens"},
      {"--threads 5000", "--threads"}, {"--stop ''", "--stop"},
      {"--no-such", "--no-such"},      {"--logprobs 100000", "--logprobs"},
      {"--kv-type f9", "--kv-type"},   {"--ctx 100000", "--ctx"},
      {"--isa sse9", "--isa"},         {"--cpu-p99 50%", "--cpu-p99"},
  };
  for (const auto& [options, where] : cases) {
    const Output output = Lull("run " + Tiny() + " --json --raw " + options + " x");
    ExpectError(output, 2, "usage");
    EXPECT_EQ(output.json()["error"]["where"], where) << output.text;
  }
  for (const auto& [options, where] :
       {std::pair{"--temp nan", "--temp"}, std::pair{"--queue 0", "--queue"},
        std::pair{"--kv-tokens -1", "--kv-tokens"}})
    EXPECT_EQ(Lull("serve " + Tiny() + " --port 0 --json " + options).json()["error"]["where"],
              where);
  for (const auto& [options, where] :
       {std::pair{"--cpu-p99 50%", "--cpu-p99"}, std::pair{"--requests -1", "--requests"},
        std::pair{"--concurrency 2000", "--concurrency"}})
    EXPECT_EQ(Lull(std::string("bench budget --port 1 --json ") + options).json()["error"]["where"],
              where);
}

TEST_F(CliTest, LostInputAndOutputAreErrors) {
  const std::string folder = "'" + folder_.string() + "'";
  ExpectError(Shell("tokenize " + Tiny() + " --json <" + folder), 3, "io");
  ExpectError(Shell("run " + Tiny() + " --raw --json --prompt-file " + folder), 3, "io");
  ExpectError(Shell("run " + Tiny() + " --raw --json --prompt-file no-such-file"), 3, "not_found");
  EXPECT_EQ(Shell("inspect " + Tiny() + " >/dev/full").exit_code, 3);
  EXPECT_EQ(Shell("inspect " + Tiny() + " --json >/dev/full").exit_code, 3);
}

// A record from stdin, verified and reported; one that was altered is named and exits 1.
TEST_F(CliTest, RecordsAreSignedVerifiedAndReported) {
  const std::string file = "'" + (folder_ / "runs.jsonl").string() + "'";
  for (int i = 0; i < 2; ++i)
    ASSERT_EQ(Lull("record " + file, "{\"kind\":\"note\",\"n\":1}").exit_code, 0);
  const Output intact = Lull("verify " + file + " --json");
  EXPECT_EQ(intact.exit_code, 0);
  EXPECT_EQ(intact.json()["records"], 2);
  EXPECT_NE(Lull("report " + file).text.find("Line 2: note"), std::string::npos);
  EXPECT_NE(Lull("report --html " + file).text.find("<!doctype html>"), std::string::npos);
  ExpectError(Lull("report " + file + " --svg 1 --json"), 3, "not_found");
  ExpectError(Lull("record " + file + " --json", "[]"), 3, "invalid_input");
  ASSERT_EQ(system(("sed -i '1s/\"n\":1/\"n\":2/' " + file).c_str()), 0);
  const Output altered = Lull("verify " + file + " --json");
  EXPECT_EQ(altered.exit_code, 1);
  EXPECT_EQ(altered.json()["findings"][0]["line"], 1);
}

TEST_F(CliTest, UsageErrorsExit2) {
  ExpectError(Lull("run " + Tiny() + " --json --isa sse9 x"), 2, "usage");
  ExpectError(Lull("run " + Tiny() + " --json --no-such-flag x"), 2, "usage");
  ExpectError(Lull("run " + Tiny() + " --json --raw"), 2, "usage");
  ExpectError(Lull("run " + Tiny() + " --json --raw --temp -1 x"), 2, "usage");
  ExpectError(Lull("run " + Tiny() + " --json --raw --cpu 130% x"), 2, "usage");
  EXPECT_EQ(Lull("bench budget --json --port x").json()["error"]["hint"],
            "see lull bench budget --help");
  EXPECT_EQ(Lull("").exit_code, 2);
  const Output nonsense = Lull("nonsense --json");
  ExpectError(nonsense, 2, "usage");
  EXPECT_EQ(nonsense.json()["error"]["message"], "no such command or option: nonsense");
}

TEST_F(CliTest, ModelAndInputErrorsExit3) {
  ExpectError(Lull("run no-such-model --json x"), 3, "not_found");
  ExpectError(Lull("run smollm2 --json x"), 3, "not_found");  // a name, but not fetched
  EXPECT_EQ(Lull("run " + Write("junk.gguf", "junk") + " --json x").exit_code, 3);
  const std::string bad = Write("bad.json", "[1, 2");
  const Output score = Lull("score " + Tiny() + " --json --tokens " + bad);
  ExpectError(score, 3, "invalid_input");
  EXPECT_EQ(score.json()["error"]["where"], bad + " at byte 5");
  ExpectError(Lull("score " + Tiny() + " --json --tokens " + Write("big.json", "[1e999]")), 3,
              "invalid_input");
  const Output beyond =
      Lull("score " + Tiny() + " --json --tokens " + Write("beyond.json", "[1, 99999]"));
  ExpectError(beyond, 3, "invalid_input");
  EXPECT_TRUE(beyond.json()["error"]["where"].get<std::string>().ends_with("beyond.json: token 1"));
  ExpectError(Lull("inspect " + folder_.string() + " --json"), 3, "invalid_input");
  std::string text;
  for (int i = 0; i < 400; ++i) text += "word" + std::to_string(i) + " ";
  const Output overflow =
      Lull("run " + Tiny() + " --raw --json --prompt-file " + Write("long", text));
  ExpectError(overflow, 3, "context_overflow");
  EXPECT_EQ(overflow.json()["error"]["where"], "prompt");
}

TEST_F(CliTest, ImpossibleBudgetExits4) {
  const Output pool = Lull("serve " + Tiny() + " --port 0 --json --kv-tokens 100000000000");
  ExpectError(pool, 4, "out_of_memory");
  EXPECT_EQ(pool.json()["error"]["where"], "--kv-tokens");
  ExpectError(Lull("run " + Tiny() + " --raw --json --cpu 50% --cpu-p99 20% x"), 4,
              "budget_impossible");
}

}  // namespace
}  // namespace lull
