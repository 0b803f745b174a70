#include "base/os/durable_append.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace lull::os {
namespace {

class AppendLineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() /
             ("lull_append_" + std::to_string(getpid()) + ".jsonl"))
                .string();
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Read() const {
    std::ifstream file(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  std::string path_;
};

TEST_F(AppendLineTest, AppendsWholeLines) {
  ASSERT_TRUE(AppendLine(path_, "one").ok());
  ASSERT_TRUE(AppendLine(path_, "two").ok());
  EXPECT_EQ(Read(), "one\ntwo\n");
}

TEST_F(AppendLineTest, EndsAForeignUnfinishedLineFirst) {
  std::ofstream(path_) << "{\"cut";
  ASSERT_TRUE(AppendLine(path_, "next").ok());
  EXPECT_EQ(Read(), "{\"cut\nnext\n");
}

TEST_F(AppendLineTest, RefusesNewlinesAndBadPaths) {
  EXPECT_EQ(AppendLine(path_, "a\nb").code(), ErrorCode::kUsage);
  EXPECT_FALSE(std::filesystem::exists(path_));
  const Status status = AppendLine("/nonexistent-dir/records.jsonl", "a");
  EXPECT_EQ(status.code(), ErrorCode::kIo);
  EXPECT_EQ(status.error().where, "/nonexistent-dir/records.jsonl");
}

TEST_F(AppendLineTest, LeavesNoPartialLineWhenTheDiskRefuses) {
  ASSERT_TRUE(AppendLine(path_, "kept").ok());
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {100, 100};  // the file may not grow beyond 100 bytes
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(AppendLine(path_, std::string(500, 'x')).code() == ErrorCode::kIo ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Read(), "kept\n");
}

TEST_F(AppendLineTest, ConcurrentLinesStayWhole) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(AppendLine(path_, std::string(3000, static_cast<char>('a' + t))).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::ifstream file(path_);
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    ++lines;
    EXPECT_EQ(line, std::string(3000, line.empty() ? '?' : line[0]));
  }
  EXPECT_EQ(lines, 80);
}

}  // namespace
}  // namespace lull::os
