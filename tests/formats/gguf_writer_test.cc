// Writing large files: progress, giving up, no space. Contents are checked by the reader's tests.
#include "formats/gguf_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "tests/support/raw_gguf.h"

namespace lull {
namespace {

constexpr uint64_t kRows = 5000;
constexpr uint64_t kRowBytes = 4096;

GgufWriter WriterOf20Mb() {
  GgufWriter writer;
  writer.set_durable(false);
  writer.AddString("general.architecture", "llama");
  writer.AddTensor("t", 0, {kRowBytes / 4, kRows}, [](uint64_t first, uint64_t rows, uint8_t* out) {
    for (uint64_t i = 0; i < rows * kRowBytes; ++i) out[i] = static_cast<uint8_t>(first + i);
  });
  return writer;
}

size_t FilesIn(const std::string& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

// Files of this process may not grow beyond this while the object lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(GgufWriter, ProgressRisesToTheSizeOfTheFile) {
  TemporaryDirectory directory;
  GgufWriter writer = WriterOf20Mb();
  uint64_t last = 0;
  uint64_t total = 0;
  int calls = 0;
  writer.set_progress([&](uint64_t written, uint64_t file_bytes) {
    EXPECT_GE(written, last);
    last = written;
    total = file_bytes;
    ++calls;
    return true;
  });
  ASSERT_TRUE(writer.Write(directory.File("m.gguf")).ok());
  EXPECT_EQ(last, total);
  EXPECT_EQ(std::filesystem::file_size(directory.File("m.gguf")), total);
  EXPECT_GT(total, kRows * kRowBytes);
  EXPECT_GE(calls, 20);
}

TEST(GgufWriter, GivingUpLeavesNothing) {
  TemporaryDirectory directory;
  GgufWriter writer = WriterOf20Mb();
  writer.set_progress([](uint64_t written, uint64_t total) { return written < total / 2; });
  EXPECT_EQ(writer.Write(directory.File("m.gguf")).code(), ErrorCode::kCancelled);
  EXPECT_EQ(FilesIn(directory.File("")), 0u);
}

TEST(GgufWriter, NoSpaceIsAnErrorBeforeTheFirstByte) {
  TemporaryDirectory directory;
  GgufWriter writer = WriterOf20Mb();
  uint64_t seen = 0;
  writer.set_progress([&](uint64_t written, uint64_t) { return (seen = written) > 0; });
  Status status;
  {
    const FileSizeLimit limit(10 << 20);
    status = writer.Write(directory.File("m.gguf"));
  }
  EXPECT_EQ(status.code(), ErrorCode::kIo);
  EXPECT_NE(status.ToString().find("cannot reserve 20480"), std::string::npos) << status.ToString();
  EXPECT_EQ(seen, 0u);
  EXPECT_EQ(FilesIn(directory.File("")), 0u);
}

}  // namespace
}  // namespace lull
