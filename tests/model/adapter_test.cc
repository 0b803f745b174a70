// Low-rank adapters: the values of weights with the same change made to them, the same bits however
// computed, and the model's own bits for whoever has none.
#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "model/weight_plan.h"
#include "tests/model/model_test_util.h"
#include "tests/support/tiny_adapter.h"

namespace lull::testing {
namespace {

constexpr size_t kTokens = 90;  // beyond a page

using AdapterPtr = std::shared_ptr<const Adapter>;

Result<std::shared_ptr<void>> Allow(int64_t) { return std::shared_ptr<void>(); }

Result<AdapterPtr> LoadFrom(const GgufWriter& writer, const LoadedModel& model) {
  const auto file = WriteAndOpen(writer, "adapter");
  LULL_ASSIGN_OR_RETURN(auto rep, LoadAdapter(ExecContext(), *file, model, Allow));
  return AdapterPtr(std::make_shared<Adapter>(std::move(rep)));
}

AdapterPtr NewAdapter(const TestModel& test, const TinyAdapterSpec& spec) {
  GgufWriter writer;
  BuildTinyAdapter(*test.file, spec, &writer);
  auto adapter = LoadFrom(writer, *test.model);
  EXPECT_TRUE(adapter.ok()) << adapter.status().ToString();
  return adapter.ok() ? *adapter : nullptr;
}

// As AllLogits, with adapters.
std::vector<float> AdaptedLogits(const ExecContext& ctx, Runner& runner,
                                 const std::vector<int32_t>& tokens,
                                 const std::vector<AdapterUse>& adapters, size_t chunk) {
  const auto vocab = static_cast<size_t>(runner.vocab_size());
  std::vector<float> logits(tokens.size() * vocab);
  const int sequence = runner.OpenSequence().value();
  EXPECT_TRUE(runner.SetAdapters(sequence, adapters).ok());
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    const size_t end = std::min(tokens.size(), i + chunk);
    EXPECT_TRUE(Feed(ctx, runner, sequence, tokens, i, end, logits.data() + i * vocab).ok());
  }
  runner.CloseSequence(sequence);
  return logits;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

class AdapterTest : public ::testing::TestWithParam<std::string> {
 protected:
  TestModel Load(const char* type) const {
    TinyModelSpec spec;
    spec.arch = GetParam();
    spec.type = type;
    spec.seed = 21;
    return LoadTiny(spec);
  }
};

TEST_P(AdapterTest, AreTheModelWithMergedWeights) {
  TinyModelSpec spec;
  spec.arch = GetParam();
  const TestModel base = LoadTiny(spec);
  ASSERT_NE(base.model, nullptr);
  TinyAdapterSpec adapter_spec;
  adapter_spec.rank = 3;
  adapter_spec.gain = 0.3f;
  GgufWriter adapter_writer, merged_writer;
  BuildTinyAdapter(*base.file, adapter_spec, &adapter_writer);
  const auto adapter_file = WriteAndOpen(adapter_writer, "adapter");
  merged_writer.set_durable(false);
  ASSERT_TRUE(BuildTinyModel(spec, &merged_writer).ok());
  BuildMergedModel(*base.file, *adapter_file, 0.7f, &merged_writer);
  const auto merged_file = WriteAndOpen(merged_writer, "merged");
  auto merged = LoadedModel::Load(ExecContext(), *merged_file);
  ASSERT_TRUE(merged.ok()) << merged.status().ToString();

  const std::vector<int32_t> tokens = RandomTokens(kTokens, base.model->info().vocab_size, 5);
  auto plain = NewRunner(*base.model, BestKernels(), 1, 512, KvType::kF32);
  auto changed = NewRunner(**merged, BestKernels(), 1, 512, KvType::kF32);
  const auto want = AllLogits(ExecContext(), *changed, tokens, {kTokens});
  const AdapterPtr adapter = NewAdapter(base, adapter_spec);
  ASSERT_NE(adapter, nullptr);
  const auto got = AdaptedLogits(ExecContext(), *plain, tokens, {{adapter, 0.7}}, kTokens);
  EXPECT_GT(Cosine(got, want), 0.999999);
  // What this test could not tell from nothing at all.
  EXPECT_LT(Cosine(AllLogits(ExecContext(), *plain, tokens, {kTokens}), want), 0.999);
}

TEST_P(AdapterTest, TheSameBitsHoweverComputed) {
  const TestModel test = Load("Q8_0");
  ASSERT_NE(test.model, nullptr);
  const std::vector<int32_t> tokens = RandomTokens(kTokens, test.model->info().vocab_size, 5);
  const std::vector<AdapterUse> uses = {{NewAdapter(test, {.rank = 5, .seed = 2}), 1.0},
                                        {NewAdapter(test, {.rank = 16, .seed = 3}), -0.5}};
  std::vector<float> want;
  ThreadPool pool(3);
  for (const Kernels* kernels : AllKernels()) {
    auto runner = NewRunner(*test.model, *kernels);
    if (want.empty()) want = AdaptedLogits(ExecContext(), *runner, tokens, uses, 1);
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool})
      for (const size_t chunk : {size_t{7}, kTokens}) {
        ExecContext ctx;
        ctx.pool = threads;
        const auto got = AdaptedLogits(ctx, *runner, tokens, uses, chunk);
        EXPECT_EQ(memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
            << kernels->name << " chunks of " << chunk;
      }
  }
}

TEST_P(AdapterTest, AMixedBatchGivesEachItsOwnBits) {
  const TestModel test = Load("Q8_0");
  ASSERT_NE(test.model, nullptr);
  const std::vector<int32_t> tokens = RandomTokens(kTokens, test.model->info().vocab_size, 5);
  const AdapterPtr one = NewAdapter(test, {.seed = 2}), two = NewAdapter(test, {.seed = 3});
  const std::vector<std::vector<AdapterUse>> who = {
      {}, {{one, 1.0}}, {{two, 1.0}}, {}, {{one, 2.0}, {two, 0.5}}, {{one, 1.0}}, {{two, 0.0}}};
  std::vector<std::vector<float>> want;
  auto alone = NewRunner(*test.model, BestKernels());
  for (const auto& uses : who)
    want.push_back(AdaptedLogits(ExecContext(), *alone, tokens, uses, kTokens));
  EXPECT_EQ(want[0], AllLogits(ExecContext(), *alone, tokens, {kTokens}));
  EXPECT_EQ(want[0], want[6]) << "scale 0";
  EXPECT_NE(want[0], want[1]);
  EXPECT_NE(want[1], want[4]);

  auto runner = NewRunner(*test.model, BestKernels(), static_cast<int>(who.size()));
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  std::vector<int> ids;
  for (const auto& uses : who) {
    ids.push_back(runner->OpenSequence().value());
    ASSERT_TRUE(runner->SetAdapters(ids.back(), uses).ok());
  }
  TestRandom random(9);
  for (bool more = true; more;) {
    more = false;
    std::vector<BatchRow> rows;
    std::vector<int32_t> wanted;
    for (const int id : ids) {
      const auto length = static_cast<size_t>(runner->SequenceLength(id));
      const size_t n = std::min(kTokens - length, static_cast<size_t>(random.Below(30)));
      more |= length + n < kTokens;
      for (size_t i = length; i < length + n; ++i) {
        if (random.Below(3) == 0) wanted.push_back(static_cast<int32_t>(rows.size()));
        rows.push_back({id, static_cast<int32_t>(i), tokens[i]});
      }
    }
    if (rows.empty()) continue;
    std::vector<float> logits(wanted.size() * vocab);
    ASSERT_TRUE(runner->Forward(ExecContext(), rows, wanted, logits.data()).ok());
    for (size_t i = 0; i < wanted.size(); ++i) {
      const BatchRow& row = rows[static_cast<size_t>(wanted[i])];
      const auto who_index =
          static_cast<size_t>(std::find(ids.begin(), ids.end(), row.sequence) - ids.begin());
      ASSERT_EQ(
          memcmp(&logits[i * vocab], &want[who_index][static_cast<size_t>(row.position) * vocab],
                 vocab * sizeof(float)),
          0)
          << "sequence " << who_index << " position " << row.position;
    }
  }
  for (const int id : ids) runner->CloseSequence(id);
  EXPECT_EQ(AllLogits(ExecContext(), *runner, tokens, {kTokens}), want[0]) << "adapters stayed";
}

TEST_P(AdapterTest, OfZerosGivesTheModelsBits) {
  const TestModel test = Load("Q8_0");
  ASSERT_NE(test.model, nullptr);
  const std::vector<int32_t> tokens = RandomTokens(kTokens, test.model->info().vocab_size, 5);
  auto runner = NewRunner(*test.model, BestKernels());
  const auto want = AllLogits(ExecContext(), *runner, tokens, {kTokens});
  const AdapterPtr zero = NewAdapter(test, {.zero_b = true});
  const auto got = AdaptedLogits(ExecContext(), *runner, tokens, {{zero, 1.0}}, kTokens);
  EXPECT_EQ(memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0);
}

TEST_P(AdapterTest, PrefixesAreSharedWithinTheSameAdaptersOnly) {
  const TestModel test = Load("Q8_0");
  ASSERT_NE(test.model, nullptr);
  const std::vector<int32_t> tokens = RandomTokens(200, test.model->info().vocab_size, 5);
  const AdapterPtr one = NewAdapter(test, {.seed = 2}), two = NewAdapter(test, {.seed = 3});
  RunnerOptions options;
  options.max_sequences = 2;
  options.kv_pool_tokens = 2048;
  options.prefix_cache_tokens = 1024;
  auto runner = MakeRunner(*test.model, BestKernels(), options).value();
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  const auto run = [&](const std::vector<AdapterUse>& uses, int64_t* adopted) {
    const int id = runner->OpenSequence().value();
    EXPECT_TRUE(runner->SetAdapters(id, uses).ok());
    *adopted = runner->AdoptPrefix(id, tokens);
    std::vector<float> logits((tokens.size() - static_cast<size_t>(*adopted)) * vocab);
    EXPECT_TRUE(Feed(ExecContext(), *runner, id, tokens, static_cast<size_t>(*adopted),
                     tokens.size(), logits.data())
                    .ok());
    runner->CloseSequence(id);
    return std::vector<float>(logits.end() - static_cast<int64_t>(vocab), logits.end());
  };
  const std::vector<std::vector<AdapterUse>> who = {
      {}, {{one, 1.0}}, {{two, 1.0}}, {{one, 0.5}}, {{one, 1.0}, {two, 1.0}}};
  std::vector<std::vector<float>> first;
  for (const auto& uses : who) {
    int64_t adopted = 0;
    first.push_back(run(uses, &adopted));
    EXPECT_EQ(adopted, 0) << "another's prefix";
  }
  for (size_t i = 0; i < who.size(); ++i) {
    int64_t adopted = 0;
    EXPECT_EQ(run(who[i], &adopted), first[i]);
    EXPECT_GE(adopted, 128) << i;
  }
  int64_t adopted = 0;
  EXPECT_EQ(run({{one, 0.0}}, &adopted), first[0]);
  EXPECT_GE(adopted, 128) << "scale 0 is the model alone";
}

INSTANTIATE_TEST_SUITE_P(Archs, AdapterTest,
                         ::testing::Values("llama", "gemma3", "phi3", "qwen35moe", "lfm2moe",
                                           "granitehybrid", "deepseek2", "gemma4-e", "cohere2",
                                           "mamba", "gpt-oss"),
                         [](const auto& param) { return TestNameOf(param.param); });

class AdapterFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test_ = LoadTiny({});
    ASSERT_NE(test_.model, nullptr);
    BuildTinyAdapter(*test_.file, {}, &writer_);
  }
  void ExpectRefused(ErrorCode code, const std::string& word) {
    const Status status = LoadFrom(writer_, *test_.model).status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.ToString().find(word), std::string::npos) << status.ToString();
  }
  void Replace(const std::string& name, std::vector<uint64_t> dims, float value = 0.0f) {
    writer_.RemoveTensor(name);
    std::vector<float> values(dims[0] * dims[1], value);
    std::vector<uint8_t> bytes(values.size() * sizeof(float));
    memcpy(bytes.data(), values.data(), bytes.size());
    writer_.AddTensor(name, 0, std::move(dims), std::move(bytes));
  }
  TestModel test_;
  GgufWriter writer_;
};

TEST_F(AdapterFileTest, WhatItSays) {
  const auto adapter = LoadFrom(writer_, *test_.model);
  ASSERT_TRUE(adapter.ok()) << adapter.status().ToString();
  EXPECT_EQ((*adapter)->info().name, "tiny adapter 1");
  EXPECT_EQ((*adapter)->info().rank, 4);
  EXPECT_EQ((*adapter)->info().alpha, 8.0);
  EXPECT_EQ((*adapter)->info().matrices, 7 * test_.model->info().num_layers + 1);
  EXPECT_GT((*adapter)->info().bytes, 0);
}

// The logits of some tokens with an adapter.
std::vector<float> LogitsWith(const TestModel& test, const AdapterPtr& adapter, double scale) {
  auto runner = NewRunner(*test.model, BestKernels());
  return AdaptedLogits(ExecContext(), *runner, RandomTokens(20, test.model->info().vocab_size, 5),
                       {{adapter, scale}}, 20);
}

TEST_F(AdapterFileTest, HalfPrecisionIsRead) {
  GgufWriter f16;
  BuildTinyAdapter(*test_.file, {.type = "F16"}, &f16);
  const auto half = LoadFrom(f16, *test_.model), whole = LoadFrom(writer_, *test_.model);
  ASSERT_TRUE(half.ok() && whole.ok());
  const auto plain = LogitsWith(test_, *whole, 0.0);
  EXPECT_NE(LogitsWith(test_, *half, 1.0), plain);
}

TEST_F(AdapterFileTest, WithoutAlphaProductsAreAsTheyAre) {
  const auto with = LoadFrom(writer_, *test_.model);
  writer_.RemoveKey("adapter.lora.alpha");
  const auto without = LoadFrom(writer_, *test_.model);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ(LogitsWith(test_, *without, 2.0), LogitsWith(test_, *with, 1.0));  // 8 / 4
}

// No name of a file may lead to a row of the tables that cannot be one.
TEST(MatrixRolesTest, EveryTensorOfEveryArchitecture) {
  for (const std::string& arch : TinyModelArchitectures()) {
    const TestModel test = LoadTiny({.arch = arch});
    ASSERT_NE(test.model, nullptr);
    for (const GgufTensor& tensor : test.file->tensors()) {
      const LoadedModel& model = *test.model;
      for (const MatrixRole& role :
           FindMatrixRoles(model.architecture(), model.hparams(), tensor.name)) {
        EXPECT_EQ(role.k, tensor.dims[0]) << arch << " " << tensor.name;
        EXPECT_GE(role.file_rows, role.file_begin + role.rows) << arch << " " << tensor.name;
        EXPECT_EQ(role.file_rows, tensor.dims.size() > 1 ? tensor.dims[1] : 1)
            << arch << " " << tensor.name;
        const PackedMatrix* matrix = role.In(model.weights());
        if (matrix->format != nullptr) EXPECT_EQ(matrix->rows, role.rows) << arch << tensor.name;
      }
    }
  }
}

TEST_F(AdapterFileTest, AModelIsNoAdapter) {
  const Status status = LoadAdapter(ExecContext(), *test_.file, *test_.model, Allow).status();
  EXPECT_EQ(status.code(), ErrorCode::kInvalidModel);
  EXPECT_NE(status.ToString().find("general.type"), std::string::npos) << status.ToString();
}

TEST_F(AdapterFileTest, OtherArchitecture) {
  writer_.AddString("general.architecture", "qwen2");
  ExpectRefused(ErrorCode::kInvalidModel, "general.architecture");
}

TEST_F(AdapterFileTest, OtherKind) {
  writer_.AddString("adapter.type", "ia3");
  ExpectRefused(ErrorCode::kInvalidModel, "adapter.type");
}

TEST_F(AdapterFileTest, AlphaThatIsNoNumber) {
  writer_.AddFloat32("adapter.lora.alpha", std::numeric_limits<float>::infinity());
  ExpectRefused(ErrorCode::kInvalidModel, "adapter.lora.alpha");
}

TEST_F(AdapterFileTest, HalfAPair) {
  writer_.RemoveTensor("blk.0.attn_q.weight.lora_b");
  ExpectRefused(ErrorCode::kInvalidModel, "blk.0.attn_q.weight.lora_b");
}

TEST_F(AdapterFileTest, TensorsOfOtherNames) {
  Replace("blk.0.attn_norm.weight", {4, 1});
  ExpectRefused(ErrorCode::kUnsupported, "blk.0.attn_norm.weight");
}

TEST_F(AdapterFileTest, WhatTheModelDoesNotHave) {
  Replace("blk.99.attn_q.weight.lora_a", {4, 1});
  Replace("blk.99.attn_q.weight.lora_b", {1, 4});
  ExpectRefused(ErrorCode::kUnsupported, "blk.99.attn_q.weight");
}

TEST_F(AdapterFileTest, Embeddings) {
  Replace("token_embd.weight.lora_a", {4, 1});
  Replace("token_embd.weight.lora_b", {1, 4});
  ExpectRefused(ErrorCode::kUnsupported, "token_embd.weight");
}

TEST_F(AdapterFileTest, ShapesThatDoNotFit) {
  for (const auto& dims : std::vector<std::vector<uint64_t>>{{63, 4}, {64, 5}, {4, 64}}) {
    Replace("blk.0.attn_q.weight.lora_a", dims);
    ExpectRefused(ErrorCode::kInvalidModel, "blk.0.attn_q.weight");
  }
}

TEST_F(AdapterFileTest, ValuesThatAreNotFinite) {
  const auto rows = static_cast<uint64_t>(test_.model->info().embedding_length);
  Replace("blk.0.attn_output.weight.lora_b", {4, rows}, std::nanf(""));
  ExpectRefused(ErrorCode::kInvalidModel, "blk.0.attn_output.weight.lora_b");
}

TEST_F(AdapterFileTest, NothingInside) {
  GgufWriter empty;
  empty.set_durable(false);
  for (const char* key : {"general.architecture", "general.type", "adapter.type"})
    empty.AddString(key, key[0] == 'a' ? "lora" : key[8] == 'a' ? "llama" : "adapter");
  const Status status = LoadFrom(empty, *test_.model).status();
  EXPECT_EQ(status.code(), ErrorCode::kInvalidModel) << status.ToString();
}

TEST_F(AdapterFileTest, NoRoom) {
  const auto file = WriteAndOpen(writer_, "adapter");
  const auto refuse = [](int64_t bytes) -> Result<std::shared_ptr<void>> {
    EXPECT_GT(bytes, 0);
    return Status(ErrorCode::kBudgetImpossible, "no room");
  };
  EXPECT_EQ(LoadAdapter(ExecContext(), *file, *test_.model, refuse).status().code(),
            ErrorCode::kBudgetImpossible);
}

TEST_F(AdapterFileTest, OfAnotherModelIsRefusedByTheRunner) {
  const AdapterPtr adapter = NewAdapter(test_, {});
  const TestModel other = LoadTiny({.seed = 5});
  auto runner = NewRunner(*other.model, BestKernels());
  const int id = runner->OpenSequence().value();
  EXPECT_EQ(runner->SetAdapters(id, std::vector<AdapterUse>{{adapter, 1.0}}).code(),
            ErrorCode::kUsage);
  EXPECT_EQ(runner->SetAdapters(id, std::vector<AdapterUse>{{nullptr, 1.0}}).code(),
            ErrorCode::kUsage);
  EXPECT_EQ(runner->SetAdapters(77, {}).code(), ErrorCode::kUsage);
}

}  // namespace
}  // namespace lull::testing
