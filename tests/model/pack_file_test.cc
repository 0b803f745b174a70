#include "model/pack_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "model/loaded_model.h"
#include "tests/model/model_test_util.h"
#include "tests/support/gap_meter.h"

namespace lull::testing {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// A folder with one tiny model, and its pack once Pack has been called.
class PackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = TempPath("pack");
    fs::create_directories(folder_);
    path_ = folder_ + "/tiny.gguf";
    WriteModel(1);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void WriteModel(uint64_t seed, const std::string& arch = "lfm2moe") {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.type = "mixed";
    spec.seed = seed;
    ASSERT_TRUE(WriteTinyModel(spec, path_).ok());
  }

  Result<std::unique_ptr<LoadedModel>> Load(PackUse use) {
    const auto file = GgufFile::Open(path_);
    EXPECT_TRUE(file.ok());
    return LoadedModel::Load(ExecContext(), **file, use);
  }

  Status Pack() {
    const auto model = Load(PackUse::kIgnore);
    EXPECT_TRUE(model.ok());
    return WritePack(ExecContext(), pack_path(), Identity(**model), (*model)->weight_memory(),
                     nullptr);
  }

  // That the pack is refused with this word, and the model loads all the same and says why.
  void ExpectNotUsed(const char* why) {
    const auto required = Load(PackUse::kRequire);
    ASSERT_FALSE(required.ok()) << why;
    EXPECT_NE(required.status().ToString().find(why), std::string::npos)
        << required.status().ToString();
    const auto model = Load(PackUse::kPrefer);
    ASSERT_TRUE(model.ok()) << model.status().ToString();
    EXPECT_EQ((*model)->pack(), nullptr);
    EXPECT_NE((*model)->info().pack_note.find(why), std::string::npos)
        << (*model)->info().pack_note;
  }

  PackIdentity Identity(const LoadedModel& model) const {
    return model.PackIdentityOf(ExecContext(), *GgufFile::Open(path_).value());
  }

  // The pack's header with a field changed, under a right checksum.
  void Forge(size_t at, char xor_with) {
    std::string bytes = ReadAll(pack_path());
    bytes[at] ^= xor_with;
    Sha256 sha;
    sha.Update(bytes.data(), 4096 - 32);
    const Sha256Digest digest = sha.Digest();
    memcpy(bytes.data() + 4096 - 32, digest.data(), digest.size());
    WriteAll(pack_path(), bytes);
  }

  std::string pack_path() const { return PackPathOf(path_); }

  std::string folder_, path_;
};

TEST_F(PackTest, MappedWeightsAreTheRepackedOnes) {
  for (const std::string& arch : TinyModelArchitectures()) {
    WriteModel(3, arch);
    ASSERT_TRUE(Pack().ok());
    const auto mapped = Load(PackUse::kRequire);
    const auto repacked = Load(PackUse::kIgnore);
    ASSERT_TRUE(mapped.ok()) << mapped.status().ToString();
    ASSERT_NE((*mapped)->pack(), nullptr);
    EXPECT_TRUE((*mapped)->info().mapped_pack);
    EXPECT_EQ((*mapped)->info().pack_note, "");
    const auto a = (*mapped)->weight_memory(), b = (*repacked)->weight_memory();
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(memcmp(a.data(), b.data(), a.size()), 0) << arch;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0u);
    EXPECT_TRUE((*mapped)->pack()->VerifyWeights(ExecContext(), nullptr).ok());
  }
}

// Any part of a split model that is replaced, even by an older file, makes its pack stale.
TEST_F(PackTest, EveryPartOfASplitModelCounts) {
  GgufWriter writer;
  writer.set_durable(false);
  ASSERT_TRUE(BuildTinyModel(TinyModelSpec(), &writer).ok());
  ASSERT_TRUE(writer.WriteSplit(folder_ + "/m", 3).ok());
  path_ = folder_ + "/m-00001-of-00003.gguf";
  const std::string second = folder_ + "/m-00002-of-00003.gguf";
  const auto now = fs::last_write_time(path_);
  fs::last_write_time(second, now - std::chrono::hours(2));
  ASSERT_TRUE(Pack().ok());
  ASSERT_TRUE(Load(PackUse::kRequire).ok());
  fs::last_write_time(second, now - std::chrono::hours(1));
  ExpectNotUsed("header has changed");
}

TEST_F(PackTest, NoPackIsNoNews) {
  const auto model = Load(PackUse::kPrefer);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ((*model)->info().pack_note, "");
  EXPECT_EQ(Load(PackUse::kRequire).status().code(), ErrorCode::kNotFound);
}

TEST_F(PackTest, AnotherFileMakesItStale) {
  ASSERT_TRUE(Pack().ok());
  const auto time = fs::last_write_time(path_);
  fs::last_write_time(path_, time + std::chrono::seconds(1));
  ExpectNotUsed("written again");
  fs::last_write_time(path_, time);
  ASSERT_TRUE(Load(PackUse::kRequire).ok());

  // One letter of the header, the same size and time.
  const std::string bytes = ReadAll(path_);
  std::string changed = bytes;
  const size_t name = changed.find("general.name");
  ASSERT_NE(name, std::string::npos);
  changed[name + strlen("general.name") + 12] ^= 1;
  WriteAll(path_, changed);
  fs::last_write_time(path_, time);
  ExpectNotUsed("header has changed");

  WriteAll(path_, bytes + std::string(32, '\0'));
  fs::last_write_time(path_, time);
  ExpectNotUsed("bytes, which has");
}

TEST_F(PackTest, AFittingPackIsPreferred) {
  ASSERT_TRUE(Pack().ok());
  const auto model = Load(PackUse::kPrefer);
  ASSERT_TRUE(model.ok());
  EXPECT_NE((*model)->pack(), nullptr);
  EXPECT_TRUE((*model)->info().mapped_pack);
}

TEST_F(PackTest, AnotherLayoutOrVersionMakesItStale) {
  const std::pair<size_t, const char*> fields[] = {
      {8, "format version"},   {12, "arithmetic version"}, {16, "bytes, which has"},
      {24, "written again"},   {33, "header has changed"}, {70, "lays out"},
      {96, "bytes of weights"}};
  for (const auto& [at, why] : fields) {
    ASSERT_TRUE(Pack().ok());
    Forge(at, 1);
    ExpectNotUsed(why);
  }
}

TEST_F(PackTest, AnotherUsersFileIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  ASSERT_TRUE(Pack().ok());
  ASSERT_EQ(chown(pack_path().c_str(), 65534, 65534), 0);
  ExpectNotUsed("another user");
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_TRUE(Load(PackUse::kRequire).ok());
}

TEST_F(PackTest, APipeIsNoPack) {
  ASSERT_EQ(mkfifo(pack_path().c_str(), 0600), 0);
  ExpectNotUsed("not a regular file");
}

TEST_F(PackTest, EveryDamagedHeaderByteIsSeen) {
  ASSERT_TRUE(Pack().ok());
  const std::string good = ReadAll(pack_path());
  const auto model = Load(PackUse::kIgnore);
  for (size_t at = 0; at < 4096; at += at < 160 || at >= 4060 ? 1 : 50) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
    WriteAll(pack_path(), bad);
    const auto pack = PackFile::Open(pack_path(), geteuid());
    ASSERT_TRUE(pack.ok());
    EXPECT_FALSE((*pack)->Check(Identity(**model)).ok()) << at;
  }
  WriteAll(pack_path(), good);
  const auto pack = PackFile::Open(pack_path(), geteuid());
  EXPECT_TRUE((*pack)->Check(Identity(**model)).ok());
}

TEST_F(PackTest, EveryLengthIsChecked) {
  ASSERT_TRUE(Pack().ok());
  const std::string good = ReadAll(pack_path());
  for (const size_t size : {size_t{0}, size_t{1}, size_t{8}, size_t{135}, size_t{4095},
                            size_t{4096}, good.size() - 1, good.size() + 1}) {
    std::string bad = good;
    bad.resize(size);
    WriteAll(pack_path(), bad);
    ExpectNotUsed("damaged");
  }
}

TEST_F(PackTest, VerifyFindsOneBit) {
  ASSERT_TRUE(Pack().ok());
  const std::string good = ReadAll(pack_path());
  for (const size_t at : {size_t{4096}, (4096 + good.size()) / 2, good.size() - 1}) {
    std::string bad = good;
    bad[at] ^= 16;
    WriteAll(pack_path(), bad);
    const auto model = Load(PackUse::kRequire);
    ASSERT_TRUE(model.ok());  // starts do not read the weights
    const Status status = (*model)->pack()->VerifyWeights(ExecContext(), nullptr);
    EXPECT_EQ(status.code(), ErrorCode::kInvalidInput);
  }
}

TEST_F(PackTest, AFailedWriteLeavesTheOldFile) {
  ASSERT_TRUE(Pack().ok());
  const std::string good = ReadAll(pack_path());
  const auto model = Load(PackUse::kIgnore);
  std::atomic<bool> cancel{true};
  ExecContext ctx;
  ctx.cancelled = &cancel;
  EXPECT_EQ(
      WritePack(ctx, pack_path(), Identity(**model), (*model)->weight_memory(), nullptr).code(),
      ErrorCode::kCancelled);
  EXPECT_EQ(ReadAll(pack_path()), good);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 2);
  const Status nowhere = WritePack(ExecContext(), folder_ + "/none/x.pack", Identity(**model),
                                   (*model)->weight_memory(), nullptr);
  EXPECT_EQ(nowhere.code(), ErrorCode::kIo);
}

TEST_F(PackTest, WhatAKilledWriterLeftIsRemoved) {
  const std::string dead = pack_path() + ".999999999-0.partial";
  const std::string alive = pack_path() + "." + std::to_string(getppid()) + "-0.partial";
  WriteAll(dead, "x");
  WriteAll(alive, "x");
  ASSERT_TRUE(Pack().ok());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(alive));
}

TEST_F(PackTest, WritingAndVerifyingPause) {
  const std::vector<uint8_t> weights(size_t{16} << 20, 7);
  PackIdentity identity;
  identity.weight_bytes = weights.size();
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  meter.Start();
  ASSERT_TRUE(WritePack(ctx, pack_path(), identity, weights, nullptr).ok());
  // Two passes of 32 KiB pieces; the system's own work of syncing and renaming is one step.
  EXPECT_GE(meter.gaps_ns().size(), 2 * weights.size() / (size_t{32} << 10));
  const auto pack = PackFile::Open(pack_path(), geteuid());
  ASSERT_TRUE(pack.ok());
  ASSERT_TRUE((*pack)->Check(identity).ok());
  ExpectGaps("verify", meter, kMaxGapMs,
             [&] { ASSERT_TRUE((*pack)->VerifyWeights(ctx, nullptr).ok()); });
}

// A pack of another version of the program must not be taken for this one's. Where this differs
// because repacking writes other bytes, raise kPackFormatVersion (model/pack_file.h) and put the
// new value here.
TEST_F(PackTest, PackedBytesAreThoseOfTheFormatVersion) {
  Sha256 sha;
  const char* const kArchitectures[] = {"llama", "lfm2moe"};
  const char* const kTypes[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",
                                "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};  // new types: not here
  for (const char* arch : kArchitectures) {
    for (const char* type : kTypes) {
      TinyModelSpec spec;
      spec.arch = arch;
      spec.type = type;
      ASSERT_TRUE(WriteTinyModel(spec, path_).ok());
      const auto model = Load(PackUse::kIgnore);
      ASSERT_TRUE(model.ok());
      sha.Update((*model)->weight_memory().data(), (*model)->weight_memory().size());
    }
  }
  EXPECT_EQ(sha.Hex(), "5876d8aab75c5f04a2c4e55eae17f65850fa39013269de2c81bf4113ff43119b")
      << "format version " << kPackFormatVersion;
}

TEST_F(PackTest, TheModelMayBeRunAfterThePackIsRemoved) {
  ASSERT_TRUE(Pack().ok());
  const auto model = Load(PackUse::kRequire);
  ASSERT_TRUE(model.ok());
  fs::remove(pack_path());
  EXPECT_TRUE((*model)->pack()->VerifyWeights(ExecContext(), nullptr).ok());
}

}  // namespace
}  // namespace lull::testing
