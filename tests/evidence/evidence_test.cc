#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "evidence/machine.h"
#include "evidence/record.h"
#include "evidence/verdict.h"

namespace lull {
namespace {

TEST(Machine, IsDescribedAndStable) {
  const Machine machine = ReadMachine();
  EXPECT_FALSE(machine.cpu_model.empty());
  EXPECT_GE(machine.cpus, 1);
  EXPECT_GT(machine.memory_bytes, int64_t{1} << 26);
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_EQ(machine.fingerprint.size(), 16u);
  EXPECT_EQ(machine.fingerprint, ReadMachine().fingerprint);
  const nlohmann::json json = ToJson(machine);
  for (const char* key : {"cpu_model", "cpus", "memory_bytes", "kernel", "simd", "fingerprint"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_NE(Describe(machine).find(machine.cpu_model), std::string::npos);
}

TEST(Record, OneLineEachWithTimeAndMachine) {
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("lull_record_" + std::to_string(getpid()) + ".jsonl"))
                               .string();
  std::filesystem::remove(path);
  ASSERT_TRUE(AppendRecord(path, {{"kind", "a"}, {"text", "line\nbreak \xff"}}).ok());
  ASSERT_TRUE(AppendRecord(path, {{"kind", "b"}, {"time", "then"}}).ok());
  std::ifstream file(path);
  std::string line;
  std::vector<nlohmann::json> records;
  while (std::getline(file, line)) records.push_back(nlohmann::json::parse(line));
  std::filesystem::remove(path);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0]["kind"], "a");
  EXPECT_EQ(records[0]["time"].get<std::string>().size(), 20u);
  EXPECT_TRUE(records[0]["machine"].contains("fingerprint"));
  EXPECT_EQ(records[1]["time"], "then");
  EXPECT_FALSE(records[1]["commit"].get<std::string>().empty());
  EXPECT_TRUE(records[1]["arithmetic_version"].is_number_integer());
  EXPECT_EQ(AppendRecord(path, nlohmann::json::array()).code(), ErrorCode::kUsage);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Verdict, ComparesWithTheTolerance) {
  EXPECT_EQ(JudgeAtMost("m", "%", 35.0, 35.0, 0.0, {}).verdict, Verdict::kPass);
  EXPECT_EQ(JudgeAtMost("m", "%", 35.4, 35.0, 0.5, {}).verdict, Verdict::kPass);
  const VerdictLine fail = JudgeAtMost("m", "%", 35.6, 35.0, 0.5, {});
  EXPECT_EQ(fail.verdict, Verdict::kFail);
  EXPECT_FALSE(fail.reason.empty());
}

TEST(Verdict, AFloor) {
  EXPECT_EQ(JudgeAtLeast("m", "%", 95.0, 95.0, 0.0, {}).verdict, Verdict::kPass);
  EXPECT_EQ(JudgeAtLeast("m", "%", 94.9, 95.0, 0.2, {}).verdict, Verdict::kPass);
  const VerdictLine fail = JudgeAtLeast("m", "%", 90.0, 95.0, 0.0, {});
  EXPECT_EQ(fail.verdict, Verdict::kFail);
  EXPECT_EQ(fail.reason, "5 below the limit");
  EXPECT_EQ(ToJson(fail)["at_least"], true);
  EXPECT_EQ(JudgeAtLeast("m", "%", 99.0, 95.0, 0.0, {"steal"}).verdict, Verdict::kUnproven);
}

TEST(Verdict, AMissingMetricIsNeverAPass) {
  for (const std::optional<double> missing :
       {std::optional<double>(), std::optional<double>(std::nan("")),
        std::optional<double>(-INFINITY)}) {
    const VerdictLine line = JudgeAtMost("m", "%", missing, 35.0, 0.5, {});
    EXPECT_EQ(line.verdict, Verdict::kUnproven);
    EXPECT_FALSE(line.reason.empty());
    EXPECT_TRUE(ToJson(line)["measured"].is_null());
  }
}

TEST(Verdict, DoubtsLeaveALineUnproven) {
  const VerdictLine line = JudgeAtMost("m", "%", 30.0, 35.0, 0.5, {"steal 7 %", "12 windows"});
  EXPECT_EQ(line.verdict, Verdict::kUnproven);
  EXPECT_EQ(line.reason, "steal 7 %; 12 windows");
  EXPECT_EQ(JudgeAtMost("m", "%", 50.0, 35.0, 0.5, {"steal"}).verdict, Verdict::kUnproven);
}

TEST(Verdict, OverallIsTheWorstLine) {
  const VerdictLine pass = JudgeAtMost("p", "", 1.0, 2.0, 0.0, {});
  const VerdictLine fail = JudgeAtMost("f", "", 3.0, 2.0, 0.0, {});
  const VerdictLine open = JudgeAtMost("u", "", std::nullopt, 2.0, 0.0, {});
  EXPECT_EQ(Overall({}), Verdict::kUnproven);
  EXPECT_EQ(Overall({pass, pass}), Verdict::kPass);
  EXPECT_EQ(Overall({pass, open}), Verdict::kUnproven);
  EXPECT_EQ(Overall({open, fail, pass}), Verdict::kFail);
}

}  // namespace
}  // namespace lull
