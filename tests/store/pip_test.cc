#include "store/pip.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace lull {
namespace {

namespace fs = std::filesystem;

// A python3 on PATH that plays pip and writes down how it was called.
class PipTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("pip_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    path_before_ = getenv("PATH");
    setenv("PATH", (folder_.string() + ":/usr/bin:/bin").c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_before_.c_str(), 1);
    fs::remove_all(folder_);
  }
  void FakePython(const std::string& body) {
    const fs::path path = folder_ / "python3";
    std::ofstream(path) << "#!/bin/sh\necho \"$*\" >> '" << (folder_ / "calls").string() << "'\n"
                        << body;
    fs::permissions(path, fs::perms::owner_all);
  }
  std::string Calls() {
    std::ifstream file(folder_ / "calls");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  std::string scratch() const { return (folder_ / "scratch").string(); }

  fs::path folder_;
  std::string path_before_;
};

constexpr char kReport[] =
    R"(echo '{"install":[{"download_info":{"url":"https://x/y.whl","archive_info":{"hashes":{"sha256":"ab"}}}}]}'
)";

TEST_F(PipTest, Versions) {
  EXPECT_TRUE(PipReadsRanges("pip 25.3 from /usr/lib (python 3.11)"));
  EXPECT_TRUE(PipReadsRanges("pip 26.0.1 from /usr/lib"));
  EXPECT_FALSE(PipReadsRanges("pip 25.1 from /usr/lib"));
  EXPECT_FALSE(PipReadsRanges("pip 23.0.1 from /usr/lib"));
  EXPECT_FALSE(PipReadsRanges("no pip here"));
}

TEST_F(PipTest, ACurrentPipIsAskedDirectly) {
  FakePython(std::string("case \"$*\" in *--version) echo 'pip 25.3 from x';; *) ") + kReport +
             ";; esac\n");
  PipLocator locator(scratch());
  const Result<PackageFile> file = locator.Locate("some-package");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->url, "https://x/y.whl");
  EXPECT_EQ(file->sha256, "ab");
  EXPECT_EQ(Calls().find("pip>="), std::string::npos);
  EXPECT_NE(Calls().find("--use-feature=fast-deps some-package"), std::string::npos);
}

TEST_F(PipTest, AnOldPipFetchesACurrentOneOnceAndRemovesIt) {
  FakePython("case \"$*\" in *--version) echo 'pip 23.0.1 from x';; *pip\\>=*) mkdir -p '" +
             scratch() + "/pip';; " + scratch() + "/pip*) " + kReport + ";; *) exit 9;; esac\n");
  {
    PipLocator locator(scratch());
    ASSERT_TRUE(locator.Locate("one").ok());
    ASSERT_TRUE(locator.Locate("two").ok());
    EXPECT_TRUE(fs::exists(scratch()));
  }
  EXPECT_FALSE(fs::exists(scratch()));
  const std::string calls = Calls();
  EXPECT_NE(calls.find("pip>="), std::string::npos);
  EXPECT_EQ(calls.find("pip>="), calls.rfind("pip>="));
}

TEST_F(PipTest, WithoutACurrentPipTheOldOneAnswers) {
  FakePython(
      std::string("case \"$*\" in *--version) echo 'pip 23.0.1 from x';; *pip\\>=*) exit 1;; *) ") +
      kReport + ";; esac\n");
  PipLocator locator(scratch());
  ASSERT_TRUE(locator.Locate("some-package").ok());
  EXPECT_EQ(Calls().find("fast-deps"), std::string::npos);
}

TEST_F(PipTest, AFeatureThatIsGoneIsDoneWithout) {
  FakePython(
      std::string("case \"$*\" in *--version) echo 'pip 30.0 from x';; *fast-deps*) exit 2;; *) ") +
      kReport + ";; esac\n");
  PipLocator locator(scratch());
  EXPECT_TRUE(locator.Locate("some-package").ok());
}

TEST_F(PipTest, FailuresSayWhatAndWhatToDo) {
  FakePython(
      "case \"$*\" in *--version) echo 'pip 25.3 from x';; *) echo 'no route to index' >&2; exit "
      "1;; esac\n");
  const Result<PackageFile> unreachable = PipLocator(scratch()).Locate("some-package");
  ASSERT_FALSE(unreachable.ok());
  EXPECT_NE(unreachable.error().message.find("no route to index"), std::string::npos);
  EXPECT_NE(unreachable.error().hint.find("network"), std::string::npos);

  FakePython("exit 1\n");
  const Result<PackageFile> no_pip = PipLocator(scratch()).Locate("some-package");
  ASSERT_FALSE(no_pip.ok());
  EXPECT_NE(no_pip.error().hint.find("python3-pip"), std::string::npos);

  FakePython("case \"$*\" in *--version) echo 'pip 25.3 from x';; *) echo '{}';; esac\n");
  const Result<PackageFile> empty = PipLocator(scratch()).Locate("some-package");
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(empty.error().where, "some-package");
}

}  // namespace
}  // namespace lull
