#include "store/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/sha256.h"
#include "store/zip.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("store_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  fs::path folder_;
};

// A zip with one stored member "a/b" = "hello".
std::string StoredZip() {
  const auto u16 = [](uint32_t v) { return std::string{char(v), char(v >> 8)}; };
  const auto u32 = [&](uint32_t v) { return u16(v & 0xffff) + u16(v >> 16); };
  const uint32_t crc = 0x3610a686;  // of "hello"
  const std::string common =
      u16(0) + u16(0) + u16(0) + u16(0) + u32(crc) + u32(5) + u32(5) + u16(3) + u16(0);
  const std::string local = u32(0x04034b50) + u16(20) + common + "a/b" + "hello";
  const std::string central = u32(0x02014b50) + u16(20) + u16(20) + common + u16(0) + u16(0) +
                              u16(0) + u32(0) + u32(0) + "a/b";
  const std::string end = u32(0x06054b50) + u16(0) + u16(0) + u16(1) + u16(1) +
                          u32(static_cast<uint32_t>(central.size())) +
                          u32(static_cast<uint32_t>(local.size())) + u16(0);
  return local + central + end;
}

Status Extract(const std::string& path, const std::string& member, std::string* out) {
  return ExtractZipMember(path, member, [&](const uint8_t* data, size_t size) {
    out->append(reinterpret_cast<const char*>(data), size);
    return Status();
  });
}

TEST_F(StoreTest, Sha256OfKnownText) {
  const Result<std::string> hex = Sha256OfFile(Write("abc", "abc"));
  ASSERT_TRUE(hex.ok());
  EXPECT_EQ(*hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(StoreTest, ExtractsAStoredMember) {
  std::string out;
  ASSERT_TRUE(Extract(Write("x.zip", StoredZip()), "a/b", &out).ok());
  EXPECT_EQ(out, "hello");
}

TEST_F(StoreTest, MissingMemberIsNamed) {
  std::string out;
  const Status status = Extract(Write("x.zip", StoredZip()), "a/c", &out);
  EXPECT_EQ(status.code(), ErrorCode::kNotFound);
  EXPECT_NE(status.error().message.find("a/c"), std::string::npos);
}

TEST_F(StoreTest, DamagedArchivesAreErrorsAtEveryByte) {
  const std::string zip = StoredZip();
  for (size_t cut = 0; cut < zip.size(); ++cut) {
    std::string out;
    EXPECT_FALSE(Extract(Write("cut.zip", zip.substr(0, cut)), "a/b", &out).ok()) << cut;
  }
  for (size_t i = 0; i < zip.size(); ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string bad = zip;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      std::string out;
      const Status status = Extract(Write("bad.zip", bad), "a/b", &out);
      if (status.ok()) {
        EXPECT_EQ(out, "hello") << i;  // bytes that carry nothing
      }
    }
  }
}

TEST_F(StoreTest, ResolveSaysHowToGetAModel) {
  const Store store(folder_.string());
  const Result<std::string> absent = store.Resolve("smollm2");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().hint, "lull pull smollm2");
  const Result<std::string> unknown = store.Resolve("no-such-model");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().hint.find("gemma3-270m"), std::string::npos);
  const std::string path = Write("smollm2.gguf", "x");
  EXPECT_EQ(*store.Resolve("smollm2"), path);
  EXPECT_EQ(*store.Resolve(path), path);
  EXPECT_EQ(store.List().size(), 1u);
  EXPECT_TRUE(store.Remove("smollm2").ok());
  EXPECT_EQ(store.Remove("smollm2").code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace lull
