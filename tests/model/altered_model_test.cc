// Model files of every architecture with one thing changed: a tensor gone, a number of its
// configuration replaced. Each is refused with a message that names a place, or it runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <variant>

#include "tests/model/model_test_util.h"
#include "tests/support/raw_gguf.h"

namespace lull::testing {
namespace {

// Value types of GGUF.
constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kArray = 9;
constexpr size_t kArrayHead = 12;  // type and count of an array's values

RawGguf TinyParts(const std::string& arch, const std::string& path) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.vocab = 300;
  spec.type = "Q8_0";
  GgufWriter writer;
  writer.set_durable(false);
  EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
  EXPECT_TRUE(writer.Write(path).ok());
  return RawGguf::Parse(ReadFileBytes(path));
}

// A forward pass and a second one behind it. Logits may be anything.
void RunTwice(const LoadedModel& model) {
  RunnerOptions options;
  options.max_context_tokens = options.kv_pool_tokens = 64;
  options.max_sequences = 1;
  options.max_batch_rows = 4;
  const auto runner = MakeRunner(model, BestKernels(), options);
  ASSERT_TRUE(runner.ok()) << runner.status().ToString();
  const int sequence = (*runner)->OpenSequence().value();
  std::vector<float> logits(3 * static_cast<size_t>((*runner)->vocab_size()));
  const std::vector<int32_t> tokens = {1, 2, 3, 4};
  const auto context = static_cast<size_t>((*runner)->max_context_tokens());
  for (const auto& [begin, end] : {std::pair<size_t, size_t>{0, 3}, {3, 4}}) {
    if (end > context) return;
    const Status status =
        Feed(ExecContext(), **runner, sequence, tokens, begin, end, logits.data());
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
}

class AlteredModel : public ::testing::TestWithParam<std::string> {
 protected:
  AlteredModel() : path_(directory_.File("m.gguf")), parts_(TinyParts(GetParam(), path_)) {}

  void ExpectRefusedOrRuns(const RawGguf& parts) {
    WriteFileBytes(path_, parts.Serialize());
    const auto file = GgufFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    const auto model = LoadedModel::Load(ExecContext(), **file, PackUse::kIgnore);
    if (model.ok()) {
      RunTwice(**model);
      ++ran_;
      return;
    }
    ++refused_;
    EXPECT_FALSE(model.error().message.empty());
    EXPECT_FALSE(model.error().where.empty()) << model.error().message;
    EXPECT_NE(model.error().code, ErrorCode::kInternal) << model.error().message;
  }

  template <typename T>
  void WithValues(const std::string& name, size_t offset, const std::vector<T>& values) {
    for (const T value : values) {
      SCOPED_TRACE(name + " = " + std::to_string(value));
      RawGguf parts = parts_;
      memcpy(parts.FindKey(name)->value.data() + offset, &value, sizeof value);
      ExpectRefusedOrRuns(parts);
    }
  }

  void WithIntegers(const std::string& name, size_t offset) {
    uint32_t value;
    memcpy(&value, parts_.FindKey(name)->value.data() + offset, sizeof value);
    WithValues<uint32_t>(name, offset, {0, 1, value - 1, value + 1, 2 * value, 0x7fffffff});
  }

  void WithFloats(const std::string& name) {
    float value;
    memcpy(&value, parts_.FindKey(name)->value.data(), sizeof value);
    WithValues<float>(
        name, 0,
        {0.0f, -1.0f, value / 2, value * 2, 1e30f, std::numeric_limits<float>::infinity(),
         std::numeric_limits<float>::quiet_NaN()});
  }

  // A key that the architecture reads and the file has not.
  void Add(const HparamSpec& spec, const std::string& name) {
    const bool is_float = std::holds_alternative<float Hparams::*>(spec.field);
    for (const double value : {spec.min, std::max(1.0, spec.min), 32.0, spec.max}) {
      SCOPED_TRACE(name + " = " + std::to_string(value));
      RawGguf parts = parts_;
      parts.keys.push_back(
          {name,
           is_float ? kFloat32 : kUint32,
           is_float ? RawBytes(static_cast<float>(value)) : RawBytes(static_cast<uint32_t>(value)),
           {}});
      ExpectRefusedOrRuns(parts);
    }
  }

  void Alter(const RawKey& key) {
    if (key.type_id == kUint32 || key.type_id == kInt32) WithIntegers(key.name, 0);
    if (key.type_id == kBool) WithValues<uint8_t>(key.name, 0, {0, 1});
    if (key.type_id == kFloat32) WithFloats(key.name);
    uint32_t element = 0;
    if (key.type_id == kArray) memcpy(&element, key.value.data(), sizeof element);
    if (element == kUint32 || element == kInt32) WithIntegers(key.name, kArrayHead);
  }

  TemporaryDirectory directory_;
  const std::string path_;
  RawGguf parts_;
  size_t refused_ = 0, ran_ = 0;
};

TEST_P(AlteredModel, NumbersAreRefusedOrRun) {
  const std::string prefix =
      parts_.FindKey("general.architecture")->value.substr(sizeof(uint64_t)) + ".";
  for (const RawKey& key : parts_.keys)
    if (key.name.starts_with(prefix)) Alter(key);
  EXPECT_GT(refused_, 20u);
  EXPECT_GT(ran_, 5u);
}

TEST_P(AlteredModel, OptionalKeysAreRefusedOrRun) {
  const std::string name = parts_.FindKey("general.architecture")->value.substr(sizeof(uint64_t));
  const Architecture* architecture = FindArchitecture(name);
  ASSERT_NE(architecture, nullptr);
  for (const HparamSpec& spec : architecture->hparams)
    if (parts_.FindKey(name + "." + spec.key) == nullptr) Add(spec, name + "." + spec.key);
}

TEST_P(AlteredModel, MissingTensorsAreRefusedOrRun) {
  for (size_t i = 0; i < parts_.tensors.size(); ++i) {
    SCOPED_TRACE(parts_.tensors[i].name);
    RawGguf parts = parts_;
    parts.tensors.erase(parts.tensors.begin() + static_cast<ptrdiff_t>(i));
    ExpectRefusedOrRuns(parts);
  }
  EXPECT_GT(refused_, parts_.tensors.size() / 2);
}

INSTANTIATE_TEST_SUITE_P(All, AlteredModel, ::testing::ValuesIn(TinyModelArchitectures()),
                         [](const auto& info) { return TestNameOf(info.param); });

}  // namespace
}  // namespace lull::testing
