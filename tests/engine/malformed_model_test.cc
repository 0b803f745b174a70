// All 80 classes of malformed files through the public loader: refused with an error that names
// place and reason, or, where a class is tolerated, safe to use. LULL_TEST_MALFORMED_SEEDS sets
// the seeds per class (default 25).
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/os/os.h"
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

// Every way in which a vocabulary is used.
void UseVocabulary(const Model& model) {
  const std::string text = "the heron <|im_start|> 1 2\n\t\xc3\xa9 \xff\xfe <0x41>";
  const auto tokens = model.Tokenize(text, {});
  if (tokens.ok()) model.Detokenize(*tokens, true);
  const auto stream = model.NewTextStream(true);
  for (int32_t id = -1; id <= model.info().vocab_size; ++id) {
    model.Detokenize({id}, true);
    stream->Push(id);
    model.IsEndOfGeneration(id);
  }
  stream->Finish();
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

TEST_P(MalformedModel, IsRefusedOrSafe) {
  const MalformedClass& malformed = GetParam();
  const TemporaryDirectory directory;
  const std::string path = directory.File("bad.gguf");
  for (uint64_t seed = 0; seed < NumSeeds(); ++seed) {
    SCOPED_TRACE(malformed.name + " seed " + std::to_string(seed));
    ASSERT_TRUE(WriteMalformed(malformed, seed, path).ok());
    const int64_t start_ns = os::ThreadCpuNs();
    const auto model = Model::Load(path, *runtime_);
    EXPECT_LT(os::ThreadCpuNs() - start_ns, 1'000'000'000);
    if (model.ok()) {
      ASSERT_TRUE(malformed.tolerated) << "was accepted";
      UseVocabulary(**model);
      continue;
    }
    EXPECT_FALSE(model.error().message.empty());
    EXPECT_FALSE(model.error().where.empty()) << model.error().message;
    EXPECT_TRUE(model.error().code == ErrorCode::kInvalidModel || model.error().code == ErrorCode::kUnsupported)
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
