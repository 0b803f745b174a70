// Models of published shapes: keys and types as the real files have them, the same bytes for the
// same seed, logits that a sampler can live on. What is computed is narrower than the shape.
#include "tests/support/model_shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "model/architecture.h"
#include "model/hparams_reader.h"
#include "tests/model/model_test_util.h"
#include "tests/support/raw_gguf.h"

namespace lull::testing {
namespace {

GgufWriter Built(const TinyModelSpec& spec) {
  GgufWriter writer;
  writer.set_durable(false);
  const Status status = BuildTinyModel(spec, &writer);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return writer;
}

// A file of the keys, the vocabulary and the tensors of one name.
std::unique_ptr<GgufFile> KeysAnd(const std::string& tensor, const std::string& shape) {
  GgufWriter writer = Built(SpecOfShape(shape).value());
  for (const GgufWriter::TensorInfo& info : writer.Tensors())
    if (info.name != tensor) writer.RemoveTensor(info.name);
  return WriteAndOpen(writer, "keys");
}

Hparams HparamsOf(const GgufFile& file) {
  const Architecture* architecture =
      FindArchitecture(file.GetString("general.architecture").value());
  const Result<Hparams> hparams = ReadHparams(file, *architecture);
  EXPECT_TRUE(hparams.ok()) << hparams.status().ToString();
  return hparams.ok() ? hparams.value() : Hparams();
}

std::map<std::string, int> TypeCounts(const std::string& shape, const std::string& type) {
  TinyModelSpec spec = SpecOfShape(shape).value();
  spec.type = type;
  std::map<std::string, int> counts;
  for (const GgufWriter::TensorInfo& info : Built(spec).Tensors())
    ++counts[GgufTypeName(info.type_id)];
  return counts;
}

struct Expected {
  const char* shape;
  int64_t layers, embedding, heads, kv_heads, head_dim, ffn, vocab, context, window;
  float rope_base, eps;
};

constexpr Expected kExpected[] = {
    {"smollm2-135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, 0, 1e5f, 1e-5f},
    {"gemma-3-270m", 18, 640, 4, 1, 256, 2048, 262144, 32768, 512, 1e6f, 1e-6f},
    {"gemma-3-1b", 26, 1152, 4, 1, 256, 6912, 262144, 32768, 512, 1e6f, 1e-6f},
    {"llama-3.2-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 0, 5e5f, 1e-5f},
    {"mistral-7b", 32, 4096, 32, 8, 128, 14336, 32768, 32768, 0, 1e6f, 1e-5f},
    {"qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936, 40960, 0, 1e6f, 1e-6f},
    {"lfm2-8b-a1b", 24, 2048, 32, 8, 64, 7168, 65536, 128000, 0, 1e6f, 1e-5f},
};

TEST(ModelShapes, EveryShapeReadsAsItsConfiguration) {
  ASSERT_EQ(std::size(kExpected), ModelShapes().size());
  for (const Expected& want : kExpected) {
    SCOPED_TRACE(want.shape);
    const auto file = KeysAnd("", want.shape);
    ASSERT_NE(file, nullptr);
    const Hparams got = HparamsOf(*file);
    EXPECT_EQ(got.num_layers, want.layers);
    EXPECT_EQ(got.embedding, want.embedding);
    EXPECT_EQ(got.num_heads, want.heads);
    EXPECT_EQ(*std::max_element(got.kv_heads.begin(), got.kv_heads.end()), want.kv_heads);
    EXPECT_EQ(got.head_dim, want.head_dim);
    EXPECT_EQ(got.ffn_length, std::vector<int64_t>(static_cast<size_t>(want.layers), want.ffn));
    EXPECT_EQ(got.vocab, want.vocab);
    EXPECT_EQ(got.context, want.context);
    EXPECT_EQ(got.window, want.window);
    EXPECT_EQ(got.rope_base, want.rope_base);
    EXPECT_EQ(got.rms_eps, want.eps);
    EXPECT_EQ(file->ArraySize("tokenizer.ggml.tokens").value(), static_cast<uint64_t>(want.vocab));
  }
}

TEST(ModelShapes, ExpertsAndConvolutionsOfLfm2) {
  const Hparams got = HparamsOf(*KeysAnd("", "lfm2-8b-a1b"));
  EXPECT_EQ(got.num_experts, 32);
  EXPECT_EQ(got.experts_used, 4);
  EXPECT_EQ(got.leading_dense, 2);
  EXPECT_EQ(got.conv_taps, 3);
  const std::set<size_t> attention = {2, 6, 10, 14, 18, 21};
  for (size_t i = 0; i < got.layers.size(); ++i) {
    EXPECT_EQ(got.layers[i].mixer == Mixer::kShortConv, !attention.contains(i)) << i;
    EXPECT_EQ(got.layers[i].ffn_length, i < 2 ? 7168 : 1792) << i;
  }
}

TEST(ModelShapes, EverySixthLayerOfGemmaSeesAll) {
  const Hparams got = HparamsOf(*KeysAnd("", "gemma-3-1b"));
  for (size_t i = 0; i < got.layers.size(); ++i)
    EXPECT_EQ(got.layers[i].window, i % 6 == 5 ? 0 : 512) << i;
}

TEST(ModelShapes, RotaryFactorsOfLlama) {
  const auto file = KeysAnd("rope_freqs.weight", "llama-3.2-1b");
  const GgufTensor* tensor = file->FindTensor("rope_freqs.weight");
  ASSERT_NE(tensor, nullptr);
  ASSERT_EQ(tensor->dims[0], 32u);
  std::vector<float> factors(32);
  memcpy(factors.data(), tensor->data.data(), 32 * sizeof(float));
  EXPECT_EQ(factors[0], 1.0f);
  EXPECT_EQ(factors[14], 1.0f);             // wave length 1,956 of 2,048
  EXPECT_NEAR(factors[15], 1.651f, 1e-3f);  // 2,948
  EXPECT_EQ(factors[18], 32.0f);            // 10,094, beyond 8,192
  EXPECT_EQ(factors[31], 32.0f);
  EXPECT_TRUE(std::is_sorted(factors.begin(), factors.end()));
}

TEST(ModelShapes, TypesOfQ4KM) {
  using Counts = std::map<std::string, int>;
  // As the file of that name has them: rows of 640 and 2,048.
  EXPECT_EQ(TypeCounts("gemma-3-270m", "Q4_K_M"),
            (Counts{{"F32", 109}, {"Q4_K", 27}, {"Q5_0", 81}, {"Q6_K", 9}, {"Q8_0", 10}}));
  // The head, and V and down of 4 + 8 + 4 layers; the embedding is not the head.
  EXPECT_EQ(TypeCounts("mistral-7b", "Q4_K_M"), (Counts{{"F32", 65}, {"Q4_K", 193}, {"Q6_K", 33}}));
  EXPECT_EQ(TypeCounts("mistral-7b", "Q5_K_M"), (Counts{{"F32", 65}, {"Q5_K", 193}, {"Q6_K", 33}}));
  EXPECT_EQ(TypeCounts("mistral-7b", "Q4_0"), (Counts{{"F32", 65}, {"Q4_0", 226}}));
  // V counts attention layers (2 of 6), down counts all (12 of 24).
  TinyModelSpec spec = SpecOfShape("lfm2-8b-a1b").value();
  spec.type = "Q4_K_M";
  std::set<std::string> raised;
  for (const GgufWriter::TensorInfo& info : Built(spec).Tensors())
    if (GgufTypeName(info.type_id) == std::string("Q6_K")) raised.insert(info.name);
  std::set<std::string> want = {"token_embd.weight", "blk.10.attn_v.weight", "blk.21.attn_v.weight",
                                "blk.0.ffn_down.weight", "blk.1.ffn_down.weight"};
  for (const int layer : {2, 5, 8, 11, 14, 17, 20, 21, 22, 23})
    want.insert("blk." + std::to_string(layer) + ".ffn_down_exps.weight");
  EXPECT_EQ(raised, want);
}

// Six layers, and a width that a test can afford.
TinyModelSpec Narrow(const std::string& shape) {
  TinyModelSpec spec = SpecOfShape(shape, 6).value();
  spec.type = "Q4_K_M";
  spec.vocab = 1200;
  spec.ctx = 256;
  spec.sliding_window = 16;
  spec.embd = 256;
  spec.ffn = 512;
  spec.heads = 4;
  spec.kv_heads = 1;
  spec.head_dim = 64;
  spec.expert_ffn = 256;
  spec.experts = 8;
  for (uint32_t& heads : spec.kv_heads_per_layer) heads = std::min(heads, 1u);
  return spec;
}

class EveryModelShape : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryModelShape, TheSeedDecidesTheBytes) {
  TemporaryDirectory directory;
  TinyModelSpec spec = Narrow(GetParam());
  std::vector<std::string> files;
  for (const uint64_t seed : {5, 5, 6}) {
    spec.seed = seed;
    ASSERT_TRUE(WriteTinyModel(spec, directory.File("m.gguf")).ok());
    files.push_back(ReadFileBytes(directory.File("m.gguf")));
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_NE(files[0], files[2]);
}

// Logits spread as trained ones do, the likeliest tokens differ, and none is sure of itself.
void ExpectSaneLogits(const TinyModelSpec& spec) {
  const TestModel t = LoadTiny(spec);
  ASSERT_NE(t.model, nullptr);
  constexpr size_t kTokens = 48;
  const std::vector<int32_t> tokens = RandomTokens(kTokens, static_cast<int64_t>(spec.vocab), 9);
  auto runner = NewRunner(*t.model, BestKernels());
  const std::vector<float> logits = AllLogits(ExecContext(), *runner, tokens, {kTokens});
  std::set<size_t> likeliest;
  int repeats = 0;
  double top_share = 0;
  double squares = 0;
  for (size_t i = 0; i < kTokens; ++i) {
    const float* row = logits.data() + i * spec.vocab;
    double sum = 0;
    const float* top = std::max_element(row, row + spec.vocab);
    for (size_t k = 0; k < spec.vocab; ++k) {
      ASSERT_TRUE(std::isfinite(row[k]));
      squares += static_cast<double>(row[k]) * row[k];
      sum += std::exp(static_cast<double>(row[k] - *top));
    }
    top_share += 1.0 / sum / kTokens;
    likeliest.insert(static_cast<size_t>(top - row));
    repeats += top - row == tokens[i];
  }
  const double deviation = std::sqrt(squares / static_cast<double>(logits.size()));
  EXPECT_GT(deviation, 1.5);
  EXPECT_LT(deviation, 6.0);
  EXPECT_GT(likeliest.size(), kTokens / 2);
  EXPECT_LE(repeats, 3);
  EXPECT_LT(top_share, 0.7);
}

TEST_P(EveryModelShape, LogitsAreSane) { ExpectSaneLogits(Narrow(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Shapes, EveryModelShape,
                         ::testing::Values("smollm2-135m", "gemma-3-270m", "gemma-3-1b",
                                           "llama-3.2-1b", "mistral-7b", "qwen3-8b", "lfm2-8b-a1b"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                           return name;
                         });

TEST(ModelShapes, FullWidthOfTheSmallestIsSane) {
  TinyModelSpec spec = SpecOfShape("smollm2-135m", 2).value();
  spec.vocab = 1200;
  for (const char* type : {"Q4_1", "Q4_K_M", "Q6_K"}) {
    SCOPED_TRACE(type);
    spec.type = type;
    ExpectSaneLogits(spec);
  }
}

TEST(ModelShapes, WhatIsNotThereIsNamed) {
  const std::string message = SpecOfShape("mistral").status().ToString();
  for (const ModelShape& shape : ModelShapes())
    EXPECT_NE(message.find(shape.name), std::string::npos) << message;
  EXPECT_NE(SpecOfShape("mistral-7b", 33).status().ToString().find("32 layers"), std::string::npos);
  TinyModelSpec spec = SpecOfShape("smollm2-135m", 1).value();
  spec.type = "Q4_K_L";
  EXPECT_NE(ResolveTinyModel(spec).status().ToString().find("Q4_K_M"), std::string::npos);
}

}  // namespace
}  // namespace lull::testing
