// All 80 classes of malformed files through the public loader: refused with an error that names
// the file, the key or tensor, and the byte where there is one. LULL_TEST_MALFORMED_SEEDS sets the
// seeds per class (default 25).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/os/os.h"
#include "formats/gguf.h"
#include "lull/model.h"
#include "lull/runtime.h"
#include "tests/support/malformed.h"

namespace lull {

// Names the class where a test fails (found by argument-dependent look-up).
void PrintTo(const MalformedClass& malformed, std::ostream* out);
void PrintTo(const MalformedClass& malformed, std::ostream* out) { *out << malformed.name; }

namespace {

uint64_t NumSeeds() {
  const char* text = getenv("LULL_TEST_MALFORMED_SEEDS");
  return text == nullptr ? 25 : strtoull(text, nullptr, 10);
}

// What the file reader refuses is checked closer in gguf_malformed_test.cc.
void ExpectPlace(const MalformedClass& malformed, const std::string& path,
                 const std::string& where) {
  EXPECT_TRUE(where.starts_with(path)) << where;
  if (malformed.stage == MalformedStage::kFile) return;
  const auto named = std::find_if(
      malformed.places.begin(), malformed.places.end(),
      [&](const std::string& place) { return where.find(place) != std::string::npos; });
  EXPECT_NE(named, malformed.places.end()) << where;
  // Only what is missing has no byte.
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  for (const std::string& key : (*file)->Keys()) {
    EXPECT_TRUE(where.find(key) == std::string::npos ||
                where.find(" at byte ") != std::string::npos)
        << where;
  }
}

class MalformedModel : public ::testing::TestWithParam<MalformedClass> {
 protected:
  static void SetUpTestSuite() {
    RuntimeOptions options;
    options.threads = 1;
    auto runtime = Runtime::Create(options);
    ASSERT_TRUE(runtime.ok()) << runtime.status().ToString();
    runtime_ = std::move(*runtime).release();
  }
  static void TearDownTestSuite() { delete runtime_; }
  static Runtime* runtime_;
};
Runtime* MalformedModel::runtime_ = nullptr;

TEST_P(MalformedModel, IsRefusedByName) {
  const MalformedClass& malformed = GetParam();
  const TemporaryDirectory directory;
  const std::string path = directory.File("bad.gguf");
  for (uint64_t seed = 0; seed < NumSeeds(); ++seed) {
    SCOPED_TRACE(malformed.name + " seed " + std::to_string(seed));
    ASSERT_TRUE(WriteMalformed(malformed, seed, path).ok());
    const int64_t start_ns = os::ThreadCpuNs();
    const auto model = Model::Load(path, *runtime_);
    EXPECT_LT(os::ThreadCpuNs() - start_ns, 1'000'000'000);
    ASSERT_FALSE(model.ok()) << "was accepted";
    EXPECT_FALSE(model.error().message.empty());
    ExpectPlace(malformed, path, model.error().where);
    EXPECT_TRUE(model.error().code == ErrorCode::kInvalidModel ||
                model.error().code == ErrorCode::kUnsupported)
        << model.status().ToString();
  }
}

INSTANTIATE_TEST_SUITE_P(Classes, MalformedModel, ::testing::ValuesIn(MalformedClasses()),
                         [](const auto& info) { return info.param.group + "_" + info.param.name; });

// The bases themselves load, so a refusal above is due to the damage alone.
TEST(MalformedModelBases, Load) {
  auto runtime = Runtime::Create({});
  ASSERT_TRUE(runtime.ok());
  const TemporaryDirectory directory;
  for (const MalformedClass& malformed : MalformedClasses()) {
    ASSERT_TRUE(WriteTinyModel(malformed.base, directory.File("base.gguf")).ok());
    const auto model = Model::Load(directory.File("base.gguf"), **runtime);
    EXPECT_TRUE(model.ok()) << malformed.name << ": " << model.status().ToString();
  }
}

}  // namespace
}  // namespace lull
