// Logits against the plain double-precision forward pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/model/model_test_util.h"
#include "tests/support/naive_forward.h"

namespace lull::testing {
namespace {

struct Agreement {
  double least_cosine = 1.0;
  double max_error = 0.0;  // relative to the row's largest logit
  int skipped = 0;         // rows where a router's choice is a near-tie
};

Agreement Compare(const NaiveResult& want, const std::vector<float>& got, double margin) {
  Agreement a;
  const auto vocab = static_cast<size_t>(want.vocab);
  for (size_t row = 0; row < got.size() / vocab; ++row) {
    if (want.router_margin[row] < margin) {
      ++a.skipped;
      continue;
    }
    double dot = 0, aa = 0, bb = 0, error = 0, top = 0;
    for (size_t i = 0; i < vocab; ++i) {
      const double x = want.logits[row * vocab + i], y = got[row * vocab + i];
      dot += x * y;
      aa += x * x;
      bb += y * y;
      error = std::max(error, std::fabs(x - y));
      top = std::max(top, std::fabs(x));
    }
    const double cosine = dot / std::sqrt(aa * bb);
    a.least_cosine = std::isnan(cosine) ? -1.0 : std::min(a.least_cosine, cosine);
    a.max_error = std::max(a.max_error, error / top);
  }
  return a;
}

Agreement Measure(const TinyModelSpec& spec, KvType kv, double margin) {
  const TestModel t = LoadTiny(spec);
  const std::vector<int32_t> tokens = RandomTokens(48, t.model->info().vocab_size, 21);
  auto runner = NewRunner(*t.model, BestKernels(), 1, 512, kv);
  const std::vector<float> got = AllLogits(ExecContext(), *runner, tokens, {tokens.size()});
  const NaiveResult want = NaiveForward(*t.file, tokens).value();
  return Compare(want, got, margin);
}

// A file of floats that was changed after it was made.
void ExpectRounding(const GgufWriter& writer, const char* name) {
  const auto file = WriteAndOpen(writer, name);
  auto model = LoadedModel::Load(ExecContext(), *file);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const std::vector<int32_t> tokens = RandomTokens(80, model.value()->info().vocab_size, 4);
  auto runner = NewRunner(*model.value(), BestKernels(), 1, 512, KvType::kF32);
  const std::vector<float> got = AllLogits(ExecContext(), *runner, tokens, {13});
  EXPECT_LT(Compare(NaiveForward(*file, tokens).value(), got, 0).max_error, 1e-4);
}

class OracleTest : public ::testing::TestWithParam<std::string> {};

TEST_P(OracleTest, FloatWeightsAgreeToRounding) {
  TinyModelSpec spec;
  spec.arch = GetParam();
  for (uint64_t seed : {1, 2}) {
    spec.seed = seed;
    spec.tied_head = seed == 2;
    const Agreement a = Measure(spec, KvType::kF32, 1e-4);
    EXPECT_LT(a.max_error, 1e-4) << spec.arch;
    EXPECT_GT(a.least_cosine, 0.999999) << spec.arch;
    EXPECT_LT(a.skipped, 24);
  }
}

void ExpectAgreement(const std::string& arch, const std::string& type) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.type = type;
  const Agreement a = Measure(spec, KvType::kF16, 0.02);
  EXPECT_GT(a.least_cosine, 0.999) << arch << " " << type;
  EXPECT_LT(a.skipped, 40) << arch << " " << type;
}

TEST_P(OracleTest, QuantisedWeightsAgreeWithinActivationNoise) {
  for (const std::string& type : TinyModelTypes()) ExpectAgreement(GetParam(), type);
}

TEST(OracleVariantsTest, SpecialTypesAgreeWithinActivationNoise) {
  for (const char* arch : kTypesSeenWith) {
    for (const std::string& type : TinyModelSpecialTypes()) ExpectAgreement(arch, type);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, OracleTest, ::testing::ValuesIn(TinyModelArchitectures()),
                         [](const auto& info) { return TestNameOf(info.param); });

TEST(OracleVariantsTest, HeadsThatAreNoWholeVectors) {
  for (const char* arch : {"llama", "gemma3", "qwen3", "qwen35", "gpt-oss", "gemma4-e"}) {
    for (const uint64_t dim : {8, 24, 40}) {
      TinyModelSpec spec;
      spec.arch = arch;
      spec.head_dim = dim;
      spec.heads = 8;
      EXPECT_LT(Measure(spec, KvType::kF32, 1e-4).max_error, 1e-4) << arch << " " << dim;
      EXPECT_GT(Measure(spec, KvType::kI8, 0.02).least_cosine, 0.999) << arch << " " << dim;
    }
  }
}

// Files of floats alone may have rows of any length.
TEST(OracleVariantsTest, RowsThatNoBlockDivides) {
  for (const char* arch :
       {"llama", "gemma3", "olmo2", "cohere2", "lfm2moe", "gpt-oss", "granitemoe", "gemma4-moe"}) {
    EXPECT_LT(Measure(OddRowsSpec(arch), KvType::kF32, 1e-4).max_error, 1e-4) << arch;
  }
}

TEST(OracleVariantsTest, LlamaRopeFactorsWindowsAndBiases) {
  TinyModelSpec spec;
  spec.llama3_rope = true;
  EXPECT_LT(Measure(spec, KvType::kF32, 0).max_error, 1e-4);

  GgufWriter writer;
  writer.set_durable(false);
  ASSERT_TRUE(BuildTinyModel(TinyModelSpec(), &writer).ok());
  writer.AddUint32("llama.attention.sliding_window", 7);
  writer.AddString("llama.rope.scaling.type", "linear");
  writer.AddFloat32("llama.rope.scaling.factor", 4.0f);
  writer.AddFloat32("llama.attention.scale", 0.3f);
  const auto f32 = [&](const char* name, uint64_t n, uint64_t seed) {
    writer.AddTensor(name, 0, {n}, RandomF32Rows(n, -0.5f, 0.5f, seed));
  };
  f32("blk.0.attn_q.bias", 64, 1);
  f32("blk.0.attn_k.bias", 32, 2);
  f32("blk.1.attn_v.bias", 32, 3);
  f32("blk.1.attn_output.bias", 64, 4);
  ExpectRounding(writer, "variants");
}

// As llama.cpp's converter writes Phi 3: the tensors alone say that there are factors.
TEST(OracleVariantsTest, LongRopeWithoutAType) {
  for (const char* type : {"", "none", "linear"}) {
    SCOPED_TRACE(type);
    GgufWriter writer;
    writer.set_durable(false);
    TinyModelSpec spec;
    spec.arch = "phi3";
    ASSERT_TRUE(BuildTinyModel(spec, &writer).ok());
    writer.RemoveKey("phi3.rope.scaling.type");
    if (*type != 0) writer.AddString("phi3.rope.scaling.type", type);
    ExpectRounding(writer, "longrope");
  }
}

TEST(OracleVariantsTest, GemmaPatternAndSoftcap) {
  GgufWriter writer;
  writer.set_durable(false);
  TinyModelSpec spec;
  spec.arch = "gemma3";
  ASSERT_TRUE(BuildTinyModel(spec, &writer).ok());
  writer.AddBoolArray("gemma3.attention.sliding_window_pattern",
                      {true, false, true, true, false, true, true});
  writer.AddFloat32("gemma3.final_logit_softcapping", 5.0f);
  writer.AddFloat32("gemma3.rope.freq_base_swa", 5000.0f);
  ExpectRounding(writer, "gemma");
}

}  // namespace
}  // namespace lull::testing
