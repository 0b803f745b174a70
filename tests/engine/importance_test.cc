// What is summed is what entered the matrices; every matrix of every architecture is told of; and
// what is quantised by it loads again.
#include "engine/importance_collector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "formats/gguf.h"
#include "quantize/quantize_model.h"
#include "tests/engine/world.h"

namespace lull {
namespace {

using testing::Prompt;
using testing::World;

ImportanceMatrix Collect(World& world, std::initializer_list<std::vector<int32_t>> texts) {
  const auto collector = ImportanceCollector::Create(*world.model, *world.runtime, 64);
  EXPECT_TRUE(collector.ok()) << collector.status().ToString();
  if (!collector.ok()) return {};
  for (const std::vector<int32_t>& text : texts) {
    const Status status = (*collector)->Add(text);
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  return (*collector)->Matrix();
}

std::vector<float> FloatsOf(const GgufFile& file, const std::string& name) {
  const GgufTensor& tensor = *file.FindTensor(name);
  std::vector<float> floats(tensor.data.size() / sizeof(float));
  memcpy(floats.data(), tensor.data.data(), tensor.data.size());
  return floats;
}

TEST(ImportanceCollector, SumsTheSquaresOfWhatEnters) {
  World world;  // a llama of F32
  const std::vector<int32_t> a = Prompt(1, 30), b = Prompt(2, 17);
  const ImportanceMatrix matrix = Collect(world, {a, b});
  const auto file = GgufFile::Open(world.model->info().path);
  ASSERT_TRUE(file.ok());
  const std::vector<float> embedding = FloatsOf(**file, "token_embd.weight");
  const std::vector<float> norm = FloatsOf(**file, "blk.0.attn_norm.weight");
  const size_t n = norm.size();
  const double eps = (*file)->GetFloat("llama.attention.layer_norm_rms_epsilon").value();
  std::vector<double> want(n);
  for (const auto* text : {&a, &b}) {
    for (const int32_t token : *text) {
      const float* x = &embedding[static_cast<size_t>(token) * n];
      double mean = 0.0;
      for (size_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]) * x[i] / n;
      for (size_t i = 0; i < n; ++i)
        want[i] += std::pow(static_cast<double>(x[i]) * norm[i], 2) / (mean + eps);
    }
  }
  for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
    const Importance& entry = matrix.tensors.at(std::string("blk.0.") + name + ".weight");
    EXPECT_EQ(entry.counts, std::vector<float>{47.0f});
    ASSERT_EQ(entry.sums.size(), n);
    for (size_t i = 0; i < n; ++i)
      EXPECT_NEAR(entry.sums[i], want[i], 1e-4 * want[i] + 1e-9) << name << " " << i;
  }
  // Of the last layer all rows too, though no logits were asked for.
  const std::string last = "blk." + std::to_string(world.model->info().num_layers - 1);
  EXPECT_EQ(matrix.tensors.at(last + ".ffn_down.weight").counts, std::vector<float>{47.0f});
  EXPECT_FALSE(matrix.tensors.contains("output.weight"));
}

TEST(ImportanceCollector, SameBitsForAnyThreads) {
  ImportanceMatrix want;
  for (const int threads : {1, 3}) {
    World world({.threads = threads}, {.arch = "lfm2moe", .type = "mixed"});
    const ImportanceMatrix matrix = Collect(world, {Prompt(3, 50)});
    if (want.tensors.empty()) want = matrix;
    for (const auto& [name, entry] : matrix.tensors) {
      EXPECT_EQ(entry.sums, want.tensors[name].sums) << name;
      EXPECT_EQ(entry.counts, want.tensors[name].counts) << name;
    }
  }
  float rows = 0;  // each goes through two experts
  for (const auto& [name, entry] : want.tensors)
    if (name.ends_with("1.ffn_gate_exps.weight"))
      for (const float count : entry.counts) rows += count;
  EXPECT_EQ(rows, 100.0f);
}

class EveryArchitecture : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryArchitecture, IsToldOfAndLoadsQuantised) {
  World world({.threads = 1}, {.arch = GetParam(), .type = "F16"});
  const ImportanceMatrix matrix = Collect(world, {Prompt(4, 40)});
  const auto file = GgufFile::Open(world.model->info().path);
  ASSERT_TRUE(file.ok());
  QuantizeOptions options;
  options.types.type = "Q8_0";  // the fastest
  options.importances = &matrix;
  options.durable = false;
  const auto plan = PlanQuantize(**file, options);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(plan->without_importance, std::vector<std::string>{});
  EXPECT_GT(plan->quantised, 5u);
  const std::string out = world.directory.File("out.gguf");
  ASSERT_TRUE(WriteQuantized({}, **file, *plan, options, out).ok());
  const auto loaded = Model::Load(out, *world.runtime);
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
}

INSTANTIATE_TEST_SUITE_P(Importance, EveryArchitecture,
                         ::testing::ValuesIn(TinyModelArchitectures()),
                         [](const auto& info) { return TestNameOf(info.param); });

}  // namespace
}  // namespace lull
