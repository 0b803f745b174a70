#include "store/fetch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>
#include <vector>

#include "base/sha256.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

// One file over HTTP on 127.0.0.1, one connection at a time.
class FileServer {
 public:
  struct Options {
    bool honours_ranges = true;
    int status = 200;  // anything else: no body
    std::vector<size_t> cut_after =
        {};  // body bytes of the first, second, ... answer, then the line drops
  };
  FileServer(std::string body, Options options)
      : body_(std::move(body)), options_(std::move(options)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 8) != 0)
      return;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FileServer() {
    shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/file"; }
  std::vector<size_t> starts() {  // where each request asked to begin
    std::lock_guard<std::mutex> lock(mutex_);
    return starts_;
  }

 private:
  void Serve() {
    for (;;) {
      const int client = accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      Answer(client);
      close(client);
    }
  }
  void Answer(int client) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      request.append(buffer, static_cast<size_t>(n));
    }
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
    if (options_.status != 200) return Send(client, Head(options_.status, 0));
    if (start > 0 && start >= body_.size()) return Send(client, Head(416, 0));
    std::string body = body_.substr(start);
    const std::string range = "Content-Range: bytes " + std::to_string(start) + "-" +
                              std::to_string(body_.size() - 1) + "/" +
                              std::to_string(body_.size()) + "\r\n";
    const std::string head = start > 0 ? Head(206, body.size(), range) : Head(200, body.size());
    if (index < options_.cut_after.size())
      body.resize(std::min(body.size(), options_.cut_after[index]));
    Send(client, head + body);
  }
  static std::string Head(int status, size_t bytes, const std::string& more = "") {
    return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + std::to_string(bytes) +
           "\r\n" + more + "Connection: close\r\n\r\n";
  }
  static void Send(int client, const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = send(client, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  }

  std::string body_;
  Options options_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<size_t> starts_;
  std::thread thread_;
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

}  // namespace
}  // namespace lull
