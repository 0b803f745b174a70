#include "store/blob_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "base/os/partial_file.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

ContentKey KeyOf(const std::string& bytes) {
  ContentHasher hasher(*ContentKey::OfSha256(std::string(64, '0')), 0);
  hasher.Update(bytes.data(), bytes.size());
  return hasher.Key();
}

Manifest Of(const std::string& name, const std::vector<std::string>& contents) {
  Manifest manifest;
  manifest.name = name;
  manifest.source = "hf:o/r";
  manifest.license = "mit";
  for (const std::string& bytes : contents) {
    std::string name(1, 'f');
    name += std::to_string(manifest.files.size()) + ".gguf";
    manifest.files.push_back({name, bytes.size(), KeyOf(bytes)});
  }
  return manifest;
}

class BlobStoreTest : public testing::Test {
 protected:
  BlobStoreTest()
      : folder_(testing::TempDir() + "blobs_" + std::to_string(::getpid()) + "_" +
                testing::UnitTest::GetInstance()->current_test_info()->name()),
        store_(folder_) {}
  ~BlobStoreTest() override { fs::remove_all(folder_); }

  void WriteBlob(const std::string& bytes) {
    auto file = os::PartialFile::TryOpen(store_.PartialPath(KeyOf(bytes)));
    ASSERT_TRUE(file.ok() && *file != nullptr);
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    ASSERT_TRUE((*file)->Append({data, bytes.size()}).ok());
    ASSERT_TRUE((*file)->Publish(store_.BlobPath(KeyOf(bytes))).ok());
  }
  void Pull(const Manifest& manifest, const std::vector<std::string>& contents) {
    auto ticket = store_.Begin(manifest);
    ASSERT_TRUE(ticket.ok());
    for (const std::string& bytes : contents) WriteBlob(bytes);
    const Result<bool> published = store_.Publish(**ticket);
    ASSERT_TRUE(published.ok() && *published);
  }
  bool HasBlob(const std::string& bytes) const { return fs::exists(store_.BlobPath(KeyOf(bytes))); }
  size_t CountIn(const char* part) const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_ + "/" + part)) ++count;
    return count;
  }

  const std::string folder_;
  const BlobStore store_;
};

TEST_F(BlobStoreTest, ANameIsAFileUnderItsOwnName) {
  Pull(Of("hf:o/r:Q8_0", {"one"}), {"one"});
  const Result<Manifest> manifest = store_.Find("hf:o/r:Q8_0");
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->license, "mit");
  const Result<std::string> path = store_.PathOf(*manifest);
  ASSERT_TRUE(path.ok());
  EXPECT_TRUE(path->ends_with("/f0.gguf"));
  std::string bytes;
  std::ifstream(*path) >> bytes;
  EXPECT_EQ(bytes, "one");
  EXPECT_EQ(store_.List().size(), 1u);
  EXPECT_EQ(store_.Find("other").error().code, ErrorCode::kNotFound);
  fs::remove_all(folder_ + "/views");
  fs::create_directory(folder_ + "/views");
  EXPECT_TRUE(fs::exists(*store_.PathOf(*manifest)));  // made anew
}

TEST_F(BlobStoreTest, SharedBytesGoWithTheLastName) {
  Pull(Of("a", {"shared", "own"}), {"shared", "own"});
  Pull(Of("b", {"shared"}), {});
  ASSERT_TRUE(store_.Copy(*store_.Find("b"), "c").ok());
  EXPECT_EQ(store_.Copy(*store_.Find("a"), "c").code(), ErrorCode::kUsage);
  EXPECT_TRUE(store_.Remove("a").ok());
  EXPECT_FALSE(HasBlob("own"));
  EXPECT_TRUE(store_.Remove("b").ok());
  EXPECT_TRUE(HasBlob("shared"));
  EXPECT_TRUE(store_.Remove("c").ok());
  EXPECT_FALSE(HasBlob("shared"));
  EXPECT_EQ(CountIn("views") + CountIn("manifests") + CountIn("pulls") + CountIn("blobs"), 0u);
  EXPECT_EQ(store_.Remove("c").code(), ErrorCode::kNotFound);
}

TEST_F(BlobStoreTest, APullUnderWayKeepsWhatItHas) {
  Pull(Of("a", {"x"}), {"x"});
  auto ticket = store_.Begin(Of("b", {"x", "y"}));
  ASSERT_TRUE(ticket.ok());
  WriteBlob("y");
  ASSERT_TRUE(store_.Remove("a").ok());
  EXPECT_TRUE(HasBlob("x"));
  EXPECT_TRUE(HasBlob("y"));
  fs::remove(store_.BlobPath(KeyOf("x")));
  EXPECT_FALSE(*store_.Publish(**ticket));  // one has to be fetched again
  WriteBlob("x");
  EXPECT_TRUE(*store_.Publish(**ticket));
}

TEST_F(BlobStoreTest, ADeadPullKeepsItsBytesForTheNextAndForAWeek) {
  {
    auto dead = store_.Begin(Of("a", {"x", "y"}));
    WriteBlob("x");
  }
  Pull(Of("b", {"z"}), {"z"});
  EXPECT_TRUE(HasBlob("x"));
  ASSERT_EQ(CountIn("pulls"), 1u);
  const fs::path left = fs::directory_iterator(folder_ + "/pulls")->path();
  fs::last_write_time(left, fs::file_time_type::clock::now() - std::chrono::hours(24 * 8));
  ASSERT_TRUE(store_.Remove("b").ok());  // sweeps
  EXPECT_EQ(CountIn("pulls"), 0u);
  ASSERT_TRUE(store_.Begin(Of("c", {"z"})).ok());
  EXPECT_FALSE(HasBlob("x"));
}

TEST_F(BlobStoreTest, RemovingAnUnfinishedPullFreesItsBytes) {
  {
    auto dead = store_.Begin(Of("a", {"x", "y"}));
    WriteBlob("x");
  }
  EXPECT_TRUE(store_.Remove("a").ok());
  EXPECT_FALSE(HasBlob("x"));
}

TEST_F(BlobStoreTest, ADamagedManifestStopsRemovingNotWorking) {
  Pull(Of("a", {"x"}), {"x"});
  std::ofstream(folder_ + "/manifests/bad.json") << "{";
  Pull(Of("b", {"y"}), {"y"});
  ASSERT_TRUE(store_.Remove("b").ok());
  EXPECT_TRUE(HasBlob("y"));  // whose it is cannot be told
  EXPECT_EQ(store_.Find("bad").error().code, ErrorCode::kInvalidInput);
  EXPECT_TRUE(store_.Remove("bad").ok());
  EXPECT_FALSE(HasBlob("y"));
  EXPECT_EQ(store_.List().size(), 1u);
}

TEST_F(BlobStoreTest, AnAdoptedFileSharesItsBytes) {
  fs::create_directories(folder_);
  const std::string path = folder_ + "/file.gguf";
  std::ofstream(path) << "bytes";
  ASSERT_TRUE(store_.Adopt(path, KeyOf("bytes"), Of("mine", {"bytes"})).ok());
  EXPECT_EQ(fs::hard_link_count(path), 2u);
  ASSERT_TRUE(store_.Remove("mine").ok());
  EXPECT_EQ(fs::hard_link_count(path), 1u);
}

TEST(PartialFileTest, OneAtATimeAndNoneOfTheDead) {
  const std::string path = testing::TempDir() + "partial_" + std::to_string(::getpid());
  auto first = os::PartialFile::TryOpen(path);
  ASSERT_TRUE(first.ok() && *first != nullptr);
  auto second = os::PartialFile::TryOpen(path);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*second, nullptr);
  const uint8_t bytes[] = {1, 2, 3};
  ASSERT_TRUE((*first)->Append(bytes).ok());
  first->reset();
  auto third = os::PartialFile::TryOpen(path);
  ASSERT_NE(*third, nullptr);
  EXPECT_EQ((*third)->bytes(), 3u);
  EXPECT_TRUE((*third)->Discard().ok());
  auto fourth = os::PartialFile::TryOpen(path);  // another file of that name
  ASSERT_NE(*fourth, nullptr);
  EXPECT_EQ((*fourth)->bytes(), 0u);
  EXPECT_TRUE((*fourth)->Discard().ok());
}

TEST(ManifestTest, ReadsWhatItWrites) {
  Manifest manifest = Of("hf:o/r@v1:Q4_K_M", {"a", "b"});
  manifest.commit = std::string(40, 'c');
  manifest.kind = ModelKind::kSafetensors;
  const std::string text = ManifestText(manifest);
  const Result<Manifest> read = ParseManifest(text, "x");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(ManifestText(*read), text);
  EXPECT_EQ(ContentId(*read), ContentId(manifest));
  std::swap(manifest.files[0], manifest.files[1]);
  EXPECT_NE(ContentId(*read), ContentId(manifest));
}

TEST(ManifestTest, MutationsAreErrorsOrSound) {
  const std::string text = ManifestText(Of("hf:o/r:Q8_0", {"a", "b"}));
  for (size_t cut = 0; cut + 1 < text.size(); ++cut)
    EXPECT_FALSE(ParseManifest(text.substr(0, cut), "x").ok()) << cut;
  std::mt19937 random(6);
  for (int i = 0; i < 5000; ++i) {
    std::string bad = text;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      bad[random() % bad.size()] = static_cast<char>(random());
    const Result<Manifest> read = ParseManifest(bad, "x");
    if (!read.ok()) continue;
    for (const ManifestFile& file : read->files) {
      EXPECT_TRUE(IsPlainFileName(file.name));
      EXPECT_TRUE(ContentKey::Parse(file.key.text()).has_value());
    }
  }
}

TEST(ManifestTest, NamesBecomeNamesOfFiles) {
  EXPECT_EQ(EncodedName("hf:o/r:Q4_K_M"), "hf%3Ao%2Fr%3AQ4_K_M");
  EXPECT_EQ(EncodedName("../x"), "%2E.%2Fx");
  EXPECT_EQ(EncodedName("%41"), "%2541");
  const std::string long_name(600, 'a');
  EXPECT_LT(EncodedName(long_name).size(), 200u);
  EXPECT_NE(EncodedName(long_name), EncodedName(long_name + "b"));
}

TEST(ContentKeyTest, GitsHashOfABlob) {
  ContentHasher hasher(*ContentKey::OfGitBlob(std::string(40, '0')), 6);
  hasher.Update("hello\n", 6);
  EXPECT_EQ(hasher.Key().text(), "gitsha1-ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace lull
