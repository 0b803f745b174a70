#include "store/fetch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <vector>

#include "base/sha256.h"
#include "tests/store/raw_server.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

// One file over HTTP.
class FileServer {
 public:
  struct Options {
    bool honours_ranges = true;
    int status = 200;       // anything else: no body
    std::string head = "";  // further lines of it
    // Body bytes of the first, second, ... answer, then the line drops.
    std::vector<size_t> cut_after = {};
  };
  FileServer(std::string body, Options options)
      : body_(std::move(body)),
        options_(std::move(options)),
        server_([this](const std::string& request) { return Answer(request); }) {}
  std::string url() const { return server_.address() + "/file"; }
  std::vector<size_t> starts() {  // where each request asked to begin
    std::lock_guard<std::mutex> lock(mutex_);
    return starts_;
  }

 private:
  std::string Answer(const std::string& request) {
    size_t start = 0;
    if (const size_t at = request.find("Range: bytes="); at != std::string::npos)
      start = strtoul(request.c_str() + at + 13, nullptr, 10);
    size_t index;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      index = starts_.size();
      starts_.push_back(start);
    }
    if (!options_.honours_ranges) start = 0;
    if (options_.status != 200) return RawServer::Head(options_.status, 0, options_.head);
    if (start > 0 && start >= body_.size()) return RawServer::Head(416, 0);
    std::string body = body_.substr(start);
    const std::string range = "Content-Range: bytes " + std::to_string(start) + "-" +
                              std::to_string(body_.size() - 1) + "/" +
                              std::to_string(body_.size()) + "\r\n";
    const std::string head =
        start > 0 ? RawServer::Head(206, body.size(), range) : RawServer::Head(200, body.size());
    if (index < options_.cut_after.size())
      body.resize(std::min(body.size(), options_.cut_after[index]));
    return head + body;
  }

  const std::string body_;
  const Options options_;
  std::mutex mutex_;
  std::vector<size_t> starts_;
  RawServer server_;
};

class FetchTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("fetch_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    setenv("no_proxy", "127.0.0.1", 1);
    for (size_t i = 0; i < 300'000; ++i) body_ += static_cast<char>((i * 2654435761u) >> 13);
    Sha256 sha;
    sha.Update(body_.data(), body_.size());
    hash_ = sha.Hex();
    path_ = (folder_ / "file").string();
  }
  void TearDown() override { fs::remove_all(folder_); }
  Status Download(const FileServer& server) {
    FetchOptions options;
    options.backoff_ms = 2;
    HttpClient http(options.http);
    const FetchTarget target = {server.url(), "",    *ContentKey::OfSha256(hash_),
                                bytes_,       path_, path_ + ".partial"};
    return FetchFile(http, target, options, nullptr);
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void WritePartial(const std::string& bytes) {
    std::ofstream(path_ + ".partial", std::ios::binary) << bytes;
  }

  fs::path folder_;
  std::string body_, hash_, path_;
  uint64_t bytes_ = 0;  // what is known of the size beforehand
};

TEST_F(FetchTest, WholeFile) {
  FileServer server(body_, {});
  ASSERT_TRUE(Download(server).ok());
  EXPECT_EQ(Read(path_), body_);
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
}

TEST_F(FetchTest, ContinuesAPartialFile) {
  WritePartial(body_.substr(0, 123'456));
  FileServer server(body_, {});
  ASSERT_TRUE(Download(server).ok());
  EXPECT_EQ(Read(path_), body_);
  EXPECT_EQ(server.starts(), std::vector<size_t>{123'456});
}

TEST_F(FetchTest, ADroppedLineIsContinuedWhereItBroke) {
  FileServer server(body_, {.cut_after = {100'000, 50'000}});
  ASSERT_TRUE(Download(server).ok());
  EXPECT_EQ(Read(path_), body_);
  EXPECT_EQ(server.starts(), (std::vector<size_t>{0, 100'000, 150'000}));
}

TEST_F(FetchTest, StartsOverWhereTheServerIgnoresRanges) {
  WritePartial(std::string(1000, 'x'));
  FileServer server(body_, {.honours_ranges = false});
  ASSERT_TRUE(Download(server).ok());
  EXPECT_EQ(Read(path_), body_);
}

TEST_F(FetchTest, ACompletePartialFileNeedsNoMoreBytes) {
  WritePartial(body_);
  FileServer server(body_, {});
  ASSERT_TRUE(Download(server).ok());
  EXPECT_EQ(Read(path_), body_);
}

TEST_F(FetchTest, AWrongHashIsRefusedAndRemoved) {
  FileServer server(body_ + "x", {});
  const Status status = Download(server);
  EXPECT_EQ(status.code(), ErrorCode::kInvalidInput);
  EXPECT_NE(status.error().message.find(hash_), std::string::npos);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
}

TEST_F(FetchTest, AFullDiskSaysSo) {
  fs::create_symlink("/dev/full", path_ + ".partial");
  FileServer server(body_, {});
  const Status status = Download(server);
  EXPECT_EQ(status.code(), ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("disk is full"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(server.starts().size(), 1u);
}

TEST_F(FetchTest, AMissingFileIsNotAskedForAgain) {
  FileServer server(body_, {.status = 404});
  const Status status = Download(server);
  EXPECT_EQ(status.code(), ErrorCode::kNotFound);
  EXPECT_NE(status.error().message.find("404"), std::string::npos);
  EXPECT_EQ(server.starts().size(), 1u);
}

TEST_F(FetchTest, AServerThatAsksForTooLongIsToldOf) {
  FileServer server(body_, {.status = 429, .head = "Retry-After: 3600\r\n"});
  const Status status = Download(server);
  EXPECT_EQ(status.code(), ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("3600 s"), std::string::npos) << status.error().message;
  EXPECT_EQ(server.starts().size(), 1u);
}

TEST_F(FetchTest, OfAKnownSizeOneAnswerIsEnough) {
  FileServer server(body_, {});
  HttpClient http;
  const FetchTarget target = {server.url(), "",    *ContentKey::OfSha256(hash_),
                              body_.size(), path_, path_ + ".partial"};
  EXPECT_TRUE(FetchFile(http, target, {}, [](const std::string& note, uint64_t, uint64_t) {
                EXPECT_EQ(note, "");
                return true;
              }).ok());
  EXPECT_EQ(Read(path_), body_);
  EXPECT_EQ(server.starts().size(), 1u);
}

TEST_F(FetchTest, GivingUpLeavesWhatCame) {
  FileServer server(body_, {.cut_after = {100'000, 0, 0, 0, 0, 0, 0, 0}});
  HttpClient http;
  const FetchTarget target = {server.url(), "",    *ContentKey::OfSha256(hash_),
                              body_.size(), path_, path_ + ".partial"};
  const Status status =
      FetchFile(http, target, {}, [](const std::string& note, uint64_t, uint64_t) {
        return note.find("trying again") == std::string::npos;
      });
  EXPECT_EQ(status.code(), ErrorCode::kCancelled);
  EXPECT_EQ(fs::file_size(path_ + ".partial"), 100'000u);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(FetchTest, AnAnswerOfTextHasABound) {
  FileServer server(body_, {});
  HttpClient http;
  EXPECT_EQ(*FetchText(http, server.url(), "", body_.size(), {}, nullptr, nullptr), body_);
  EXPECT_EQ(FetchText(http, server.url(), "", body_.size() - 1, {}, nullptr, nullptr).error().code,
            ErrorCode::kInvalidInput);
}

}  // namespace
}  // namespace lull
