// One token's logits are the same bits however it was computed.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "tests/model/model_test_util.h"

namespace lull::testing {
namespace {

constexpr size_t kTokens = 140;  // two page ends, and several windows of gemma3's 16

// Always asks for the shared counter, never sleeps.
class CappedPacer : public Pacer {
 public:
  void Checkpoint() override { ++checkpoints; }
  bool capped() const override { return true; }
  std::atomic<int64_t> checkpoints{0};
};

struct Case {
  std::string arch;
  const char* type;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.arch << " " << c.type; }

class ExactnessTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    TinyModelSpec spec;
    spec.arch = GetParam().arch;
    spec.type = GetParam().type;
    if (spec.type == "mixed") spec.embd = 256;
    spec.seed = 11;
    test_ = LoadTiny(spec);
    ASSERT_NE(test_.model, nullptr);
    tokens_ = RandomTokens(kTokens, test_.model->info().vocab_size, 5);
    auto runner = NewRunner(*test_.model, *AllKernels()[0]);
    want_ = AllLogits(ExecContext(), *runner, tokens_, {1});
  }
  void ExpectSame(const std::vector<float>& got, const std::string& what) const {
    ASSERT_EQ(got.size(), want_.size());
    const size_t vocab = got.size() / kTokens;
    for (size_t i = 0; i < kTokens; ++i)
      ASSERT_EQ(memcmp(&got[i * vocab], &want_[i * vocab], vocab * sizeof(float)), 0)
          << what << ", position " << i;
  }
  TestModel test_;
  std::vector<int32_t> tokens_;
  std::vector<float> want_;  // scalar kernels, one token at a time, one thread
};

TEST_P(ExactnessTest, FullPrefillEqualsTokenByTokenOnEveryIsa) {
  for (const Kernels* kernels : AllKernels()) {
    auto runner = NewRunner(*test_.model, *kernels);
    ExpectSame(AllLogits(ExecContext(), *runner, tokens_, {kTokens}),
               std::string(kernels->name) + " prefill");
    ExpectSame(AllLogits(ExecContext(), *runner, tokens_, {1}),
               std::string(kernels->name) + " decode");
  }
}

TEST_P(ExactnessTest, AnyChunking) {
  const Kernels& scalar = *AllKernels().front();
  for (const Kernels* kernels : {AllKernels().back(), &scalar}) {
    auto runner = NewRunner(*test_.model, *kernels);
    for (size_t chunk : {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33, 64}) {
      if (kernels == &scalar && chunk % 4 != 1) continue;  // slow, and its tiles are of one row
      ExpectSame(AllLogits(ExecContext(), *runner, tokens_, {chunk}),
                 "chunks of " + std::to_string(chunk));
    }
    ExpectSame(AllLogits(ExecContext(), *runner, tokens_, {1, 40, 3, 64, 7}), "uneven chunks");
  }
}

TEST_P(ExactnessTest, AnyThreadsAndTilePolicy) {
  auto runner = NewRunner(*test_.model, BestKernels());
  for (int threads : {2, 3}) {
    ThreadPool pool(threads);
    CappedPacer pacer;
    for (Pacer* p : {static_cast<Pacer*>(nullptr), static_cast<Pacer*>(&pacer)}) {
      ExecContext ctx;
      ctx.pool = &pool;
      ctx.pacer = p;
      ExpectSame(AllLogits(ctx, *runner, tokens_, {kTokens}), "threads, prefill");
      ExpectSame(AllLogits(ctx, *runner, tokens_, {1}), "threads, decode");
      ExpectSame(AllLogits(ctx, *runner, tokens_, {9, 33}), "threads, chunks");
    }
    EXPECT_GT(pacer.checkpoints, 0);
  }
}

TEST_P(ExactnessTest, BesideOtherSequences) {
  constexpr int kOthers = 63;
  auto runner = NewRunner(*test_.model, BestKernels(), kOthers + 1);
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  std::vector<int> ids;
  for (int i = 0; i <= kOthers; ++i) ids.push_back(runner->OpenSequence().value());
  const int ours = ids[20];
  std::vector<float> got(want_.size());
  std::vector<float> logits(512 * vocab);
  TestRandom random(3);
  for (size_t done = 0; done < kTokens;) {
    // Ours somewhere in the middle, the others with 0 to 6 rows each.
    const size_t chunk = std::min<size_t>(kTokens - done, 1 + random.Below(20));
    std::vector<BatchRow> rows;
    std::vector<int32_t> wanted;
    for (int id : ids) {
      const size_t n = id == ours ? chunk : random.Below(7);
      const int64_t length = runner->SequenceLength(id);
      for (size_t r = 0; r < n; ++r) {
        const auto position = static_cast<int32_t>(length + static_cast<int64_t>(r));
        const int32_t token = id == ours ? tokens_[static_cast<size_t>(position)]
                                         : static_cast<int32_t>(random.Below(vocab));
        if (id == ours || r + 1 == n) wanted.push_back(static_cast<int32_t>(rows.size()));
        rows.push_back({id, position, token});
      }
    }
    ASSERT_TRUE(runner->Forward(ExecContext(), rows, wanted, logits.data()).ok());
    for (size_t i = 0; i < wanted.size(); ++i) {
      const BatchRow& row = rows[static_cast<size_t>(wanted[i])];
      if (row.sequence == ours)
        memcpy(&got[static_cast<size_t>(row.position) * vocab], &logits[i * vocab],
               vocab * sizeof(float));
    }
    done += chunk;
  }
  ExpectSame(got, "beside 63 others");
}

TEST_P(ExactnessTest, OnlyTheRowsAskedFor) {
  auto runner = NewRunner(*test_.model, BestKernels());
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  const int id = runner->OpenSequence().value();
  std::vector<BatchRow> rows;
  for (size_t i = 0; i < kTokens; ++i) rows.push_back({id, static_cast<int32_t>(i), tokens_[i]});
  const std::vector<int32_t> wanted = {70, 3, 139, 3, 0};  // any order, repeated
  std::vector<float> logits(wanted.size() * vocab);
  ASSERT_TRUE(runner->Forward(ExecContext(), rows, wanted, logits.data()).ok());
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_EQ(memcmp(&logits[i * vocab], &want_[static_cast<size_t>(wanted[i]) * vocab],
                     vocab * sizeof(float)),
              0)
        << i;
}

TEST_P(ExactnessTest, PrefillWithoutLogitsThenOneToken) {
  auto runner = NewRunner(*test_.model, BestKernels());
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  const int id = runner->OpenSequence().value();
  std::vector<BatchRow> rows;
  for (size_t i = 0; i + 1 < kTokens; ++i)
    rows.push_back({id, static_cast<int32_t>(i), tokens_[i]});
  ASSERT_TRUE(runner->Forward(ExecContext(), rows, {}, nullptr).ok());
  std::vector<float> logits(vocab);
  ASSERT_TRUE(Feed(ExecContext(), *runner, id, tokens_, kTokens - 1, kTokens, logits.data()).ok());
  EXPECT_EQ(memcmp(logits.data(), &want_[(kTokens - 1) * vocab], vocab * sizeof(float)), 0);
}

TEST_P(ExactnessTest, AfterTruncationAndReuse) {
  auto runner = NewRunner(*test_.model, BestKernels());
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  const int id = runner->OpenSequence().value();
  std::vector<float> logits(kTokens * vocab);
  const std::vector<int32_t> other = RandomTokens(kTokens, runner->vocab_size(), 99);
  const bool recurrent = test_.model->hparams().recurrent();
  const size_t keep = recurrent ? 0 : 100;
  ASSERT_TRUE(Feed(ExecContext(), *runner, id, tokens_, 0, 100, logits.data()).ok());
  ASSERT_TRUE(Feed(ExecContext(), *runner, id, other, 100, 120, logits.data()).ok());
  if (recurrent) {
    EXPECT_EQ(runner->TruncateSequence(id, 100).code(), ErrorCode::kUnsupported);
    EXPECT_EQ(runner->SequenceLength(id), 120);
  }
  ASSERT_TRUE(runner->TruncateSequence(id, static_cast<int64_t>(keep)).ok());
  ASSERT_TRUE(Feed(ExecContext(), *runner, id, tokens_, keep, kTokens, logits.data()).ok());
  EXPECT_EQ(memcmp(logits.data(), &want_[keep * vocab], (kTokens - keep) * vocab * sizeof(float)),
            0);
}

// The options that change bits: of one page end to the next, any instruction set and threads.
void ExpectTheSameBits(const TinyModelSpec& spec, KvType kv, bool wide_activations) {
  const TestModel test = LoadTiny(spec);
  ASSERT_NE(test.model, nullptr);
  const std::vector<int32_t> tokens = RandomTokens(kTokens, test.model->info().vocab_size, 6);
  std::vector<float> want;
  ThreadPool pool(3);
  for (const Kernels* kernels : AllKernels()) {
    auto runner = NewRunner(*test.model, *kernels, 1, 512, kv, 0, wide_activations);
    if (want.empty()) want = AllLogits(ExecContext(), *runner, tokens, {1});
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      ExecContext ctx;
      ctx.pool = threads;
      for (const std::vector<size_t>& chunks : {std::vector<size_t>{kTokens}, {1}, {2, 40, 7}})
        EXPECT_EQ(AllLogits(ctx, *runner, tokens, chunks), want)
            << kernels->name << " " << spec.arch;
    }
  }
}

TEST(Int8KvTest, TheSameBitsHoweverComputed) {
  for (const char* arch : {"llama", "gemma3"}) {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.type = "Q4_1";
    spec.seed = 12;
    ExpectTheSameBits(spec, KvType::kI8, false);
  }
}

// Heads that are no whole vectors, so that what lies behind them in pages and in Q is zero.
TEST(PaddedHeadsTest, TheSameBitsHoweverComputed) {
  const std::pair<const char*, uint64_t> heads[] = {{"llama", 24}, {"gemma3", 8}, {"gpt-oss", 40}};
  for (const auto& [arch, dim] : heads) {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.head_dim = dim;
    spec.seed = 14;
    for (const KvType kv : {KvType::kF16, KvType::kI8}) ExpectTheSameBits(spec, kv, false);
  }
}

TEST(OddRowsTest, TheSameBitsHoweverComputed) {
  for (const char* arch : {"llama", "gemma3", "lfm2moe"}) {
    TinyModelSpec spec = OddRowsSpec(arch);
    spec.type = "BF16";
    spec.seed = 15;
    ExpectTheSameBits(spec, KvType::kF16, false);
  }
}

TEST(WideActivationsTest, TheSameBitsHoweverComputed) {
  for (const char* arch : {"llama", "gemma3", "lfm2moe"}) {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.type = "mixed";
    spec.embd = 256;
    spec.seed = 13;
    ExpectTheSameBits(spec, KvType::kF16, true);
  }
}

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return TestNameOf(info.param.arch) + "_" + info.param.type;
}
// Every architecture on mixed types, and on one type that differs from one to the next.
std::vector<Case> Cases() {
  const char* const types[] = {"F32", "Q5_0", "Q4_1", "Q8_0"};
  std::vector<Case> cases;
  for (const std::string& arch : TinyModelArchitectures()) {
    cases.push_back({arch, "mixed"});
    cases.push_back({arch, types[(cases.size() / 2) % 4]});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Models, ExactnessTest, ::testing::ValuesIn(Cases()), CaseName);

}  // namespace
}  // namespace lull::testing
