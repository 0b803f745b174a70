#include "evidence/chain.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "evidence/record.h"
#include "evidence/report.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

SigningKey Key(char digit) { return *SigningKey::FromSeed(std::string(64, digit)); }

class ChainTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("lull_chain_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = (folder_ / "records.jsonl").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Append(int count, const SigningKey& key = Key('7')) {
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE(AppendSigned(path_, {{"kind", "test"}, {"number", next_++}}, key).ok());
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  void Write(const std::vector<std::string>& lines) const {
    std::ofstream file(path_, std::ios::trunc);
    for (const std::string& line : lines) file << line << '\n';
  }
  ChainReport Verify(const std::string& key = "") const { return *VerifyChain(path_, key); }
  // Of a file that was tampered with: exactly this finding.
  void ExpectFinding(int64_t line, const std::string& problem) const {
    const ChainReport report = Verify();
    ASSERT_EQ(report.findings.size(), 1u);
    EXPECT_EQ(report.findings[0].line, line);
    EXPECT_NE(report.findings[0].problem.find(problem), std::string::npos)
        << report.findings[0].problem;
  }

  fs::path folder_;
  std::string path_;
  int next_ = 0;
};

TEST_F(ChainTest, AnUntouchedFileIsIntact) {
  Append(5);
  const ChainReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.records, 5);
  EXPECT_EQ(report.unsigned_records, 0);
  EXPECT_EQ(report.keys, std::vector<std::string>{Key('7').public_key()});
  EXPECT_TRUE(Verify(Key('7').public_key()).ok());
  EXPECT_FALSE(Verify(Key('8').public_key()).ok());
  EXPECT_EQ(VerifyChain((folder_ / "none").string(), "").error().code, ErrorCode::kNotFound);
}

TEST_F(ChainTest, ARemovedRecordShows) {
  Append(5);
  const std::vector<std::string> all = Lines();
  Write({all[0], all[1], all[3], all[4]});
  ExpectFinding(3, "1 record missing before it");
  Write({all[1], all[2], all[3], all[4]});
  ExpectFinding(1, "1 record missing before it");
  Write({all[0], all[4]});
  ExpectFinding(2, "3 records missing before it");
}

TEST_F(ChainTest, ARemovedLastRecordShows) {
  Append(5);
  const std::vector<std::string> all = Lines();
  Write({all[0], all[1], all[2]});
  ExpectFinding(4, "2 missing at the end");
  // Going on does not hide it.
  Append(1);
  ExpectFinding(4, "2 records missing before it");
  Write({});
  ExpectFinding(1, "6 missing at the end");
}

TEST_F(ChainTest, AnAlteredRecordShows) {
  Append(4);
  const std::vector<std::string> all = Lines();
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> lines = all;
    const size_t at = lines[i].find("\"number\":");
    lines[i][at + 9] = '9';
    Write(lines);
    ExpectFinding(static_cast<int64_t>(i) + 1, "altered");
  }
  std::vector<std::string> lines = all;
  lines[2] = "{}";
  Write(lines);
  EXPECT_EQ(Verify().findings.front().problem, "unsigned, after signed records");
  lines[2] = "nonsense";
  Write(lines);
  EXPECT_EQ(Verify().findings.front().problem, "not a JSON object");
}

TEST_F(ChainTest, RecordsInAnotherOrderShow) {
  Append(4);
  const std::vector<std::string> all = Lines();
  Write({all[0], all[2], all[1], all[3]});
  const ChainReport report = Verify();
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.findings[0].line, 2);
  EXPECT_EQ(report.findings[0].problem, "out of order: record 3 of the chain");
  Write({all[0], all[1], all[1], all[2], all[3]});
  EXPECT_EQ(Verify().findings.front().line, 3);
}

// Whoever holds another key can write a whole record, but not in the place of one.
TEST_F(ChainTest, ARecordOfAnotherKeyShows) {
  Append(3);
  std::vector<std::string> mine = Lines();
  fs::remove(path_);
  fs::remove(HeadPathOf(path_));
  next_ = 7;
  Append(3, Key('8'));
  const std::vector<std::string> theirs = Lines();
  mine[1] = theirs[1];
  Write(mine);
  EXPECT_FALSE(Verify().ok());
  EXPECT_EQ(Verify(Key('7').public_key()).findings.front().problem, "signed by another key");
}

TEST_F(ChainTest, TheHeadIsGuardedToo) {
  Append(3);
  const std::string head = Read(HeadPathOf(path_));
  fs::remove(HeadPathOf(path_));
  ExpectFinding(4, "no head file");
  std::string altered = head;
  altered[altered.find("\"records\":3") + 10] = '2';
  std::ofstream(HeadPathOf(path_)) << altered;
  ExpectFinding(4, "the head file is altered");
}

TEST_F(ChainTest, ACutOffWriterIsNoTampering) {
  Append(2);
  const std::string head = Read(HeadPathOf(path_));
  Append(1);
  std::ofstream(HeadPathOf(path_), std::ios::trunc) << head;  // died before the head was written
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Verify().notes.size(), 1u);
  Append(1);
  EXPECT_TRUE(Verify().ok());
  EXPECT_TRUE(Verify().notes.empty());
}

TEST_F(ChainTest, UnsignedRecordsFromBeforeAreSaidAndThenGuarded) {
  Write({"{\"kind\":\"old\",\"n\":1}", "{\"kind\":\"old\",\"n\":2}"});
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Verify().unsigned_records, 2);
  EXPECT_FALSE(Verify(std::string(64, 'a')).ok()) << "nobody vouches for them";
  Append(2);
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Verify().notes.front(), "2 unsigned from before records were signed");
  std::vector<std::string> lines = Lines();
  lines[0] = "{\"kind\":\"old\",\"n\":3}";
  Write(lines);
  ExpectFinding(3, "what stands before it");
}

TEST_F(ChainTest, ManyWritersAtOnceMakeOneChain) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(AppendSigned(path_, {{"writer", w}, {"i", i}}, Key('7')).ok());
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(Verify().records, 20);
  EXPECT_TRUE(Verify().ok());
}

TEST_F(ChainTest, WhatIsNoRecordIsRefused) {
  EXPECT_EQ(AppendSigned(path_, nlohmann::json::array(), Key('7')).code(), ErrorCode::kUsage);
  EXPECT_EQ(AppendSigned(path_, {{"chain", 1}}, Key('7')).code(), ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(ChainTest, AKeyIsMadeOnceAndKeptPrivate) {
  const std::string path = (folder_ / "data" / "evidence.key").string();
  const auto made = SigningKey::LoadOrCreate(path), again = SigningKey::LoadOrCreate(path);
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(made->public_key(), again->public_key());
  struct stat st {};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  std::ofstream(path, std::ios::trunc) << "no key";
  EXPECT_EQ(SigningKey::LoadOrCreate(path).error().code, ErrorCode::kInvalidInput);
}

// RFC 8032, section 7.1, test 2.
TEST(Signing, AgreesWithThePublishedExample) {
  const auto key =
      SigningKey::FromSeed("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(key->public_key(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const std::string signature = *key->Sign("\x72");
  EXPECT_EQ(signature,
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(VerifySignature(key->public_key(), "\x72", signature));
  EXPECT_FALSE(VerifySignature(key->public_key(), "\x73", signature));
  EXPECT_FALSE(VerifySignature("", "\x72", signature));
  EXPECT_FALSE(VerifySignature(key->public_key(), "\x72", "00"));
}

// Any change of a byte of a signed file is found, and no text makes the verifier or the report
// fail.
TEST_F(ChainTest, EveryMutationIsFound) {
  Append(3);
  const std::string records = Read(path_), head = Read(HeadPathOf(path_));
  std::mt19937_64 rng(5);
  for (int trial = 0; trial < 400; ++trial) {
    std::string text = records;
    const size_t at = rng() % text.size();
    const char to = static_cast<char>(rng() % 256);
    if (text[at] == to || (at + 1 == text.size())) continue;
    text[at] = to;
    const ChainReport report = VerifyChainText(text, head, "");
    EXPECT_FALSE(report.ok()) << "byte " << at << " became " << static_cast<int>(to);
    EXPECT_FALSE(EvidenceReport("f", text, report, 0).Markdown().empty());
  }
  for (int trial = 0; trial < 200; ++trial) {
    std::string text = records.substr(rng() % records.size());
    for (int k = 0; k < 5; ++k) text.insert(rng() % text.size(), 1, "\n{}\",:[]0"[rng() % 9]);
    const ChainReport report = VerifyChainText(text, text, "");
    EXPECT_FALSE(EvidenceReport("f", text, report, 0).Html().empty());
  }
}

nlohmann::json BudgetRecord() {
  return nlohmann::json::parse(R"({"kind":"budget_bench","overall":"fail","command":"lull <b>",
    "budget":{"cpu_mean":0.35,"cpu_p99":0.5},
    "cpu":{"series_100ms":{"from_s":[0,1,2],"mean":[0.3,0.35,0.34],"min":[0.2,0.3,0.3],
           "max":[0.4,0.6,0.4]},"windows_100ms":{"count":1000,"p99":{"value":0.51,"low":0.5,
           "high":null}}},
    "latency_s":{"p50":{"value":0.5,"low":0.4,"high":0.6},"p95":null,"p99":null},
    "verdicts":[{"name":"cpu|mean","unit":"%","limit":35.0,"measured":36.0,"verdict":"fail",
                 "reason":"1 above the limit"}]})");
}

TEST(EvidenceReport, HasTheVerdictsAndTheDrawing) {
  const std::string text = BudgetRecord().dump() + "\n";
  const EvidenceReport report("runs.jsonl", text, ChainReport(), 0);
  const std::string markdown = report.Markdown(), html = report.Html();
  EXPECT_NE(markdown.find("| cpu\\|mean | 36.000 % | ≤ 35.000 % | fail |"), std::string::npos)
      << markdown;
  EXPECT_NE(html.find("<td class=\"fail\">fail</td>"), std::string::npos);
  EXPECT_NE(html.find("<svg"), std::string::npos);
  EXPECT_EQ(html.find("<b>"), std::string::npos);
  EXPECT_EQ(html.find("http://", html.find("<svg") + 60), std::string::npos) << "self-contained";
  EXPECT_TRUE(report.Svg(1).has_value());
  EXPECT_FALSE(report.Svg(2).has_value());
}

TEST(EvidenceReport, OnlyTheLast) {
  const EvidenceReport report("f", "{\"kind\":\"a\"}\n{\"kind\":\"b\"}\n", ChainReport(), 1);
  EXPECT_EQ(report.Markdown().find("Line 1"), std::string::npos);
  EXPECT_NE(report.Markdown().find("Line 2: b"), std::string::npos);
}

}  // namespace
}  // namespace lull
