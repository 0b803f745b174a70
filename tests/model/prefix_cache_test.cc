// K and V taken over from an earlier sequence give the bits that computing them again gives: every
// architecture, random prompts that begin alike, random chunks, pools too small for all of them.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "tests/model/model_test_util.h"

namespace lull::testing {
namespace {

constexpr size_t kMaxTokens = 400;

struct Case {
  std::string arch;
  uint64_t window = 0;
  int64_t pool_tokens = 0;
  int64_t cache_tokens = 0;
  KvType kv = KvType::kF16;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.arch << " window " << c.window << " pool " << c.pool_tokens;
}

class PrefixCacheTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    TinyModelSpec spec;
    spec.arch = GetParam().arch;
    spec.type = "Q8_0";
    spec.ctx = 512;
    if (GetParam().window > 0) spec.sliding_window = GetParam().window;
    test_ = LoadTiny(spec);
    ASSERT_NE(test_.model, nullptr);
  }
  std::unique_ptr<Runner> Make(int64_t cache_tokens) const {
    RunnerOptions options;
    options.kv_type = GetParam().kv;
    options.max_sequences = 3;
    options.max_batch_rows = 200;
    options.kv_pool_tokens = GetParam().pool_tokens;
    options.prefix_cache_tokens = cache_tokens;
    return MakeRunner(*test_.model, BestKernels(), options).value();
  }
  // Then prefixes are taken over at page ends alone.
  bool Recurrent() const { return test_.model->hparams().recurrent(); }
  // Prompts of a family: they part at any token, often at none.
  std::vector<int32_t> Prompt(std::mt19937& rng) {
    const size_t size = 1 + rng() % kMaxTokens;
    const size_t alike = rng() % 3 == 0 ? rng() % size : size;
    std::vector<int32_t> tokens = RandomTokens(kMaxTokens, 300, rng() % 2);
    tokens.resize(size);
    for (size_t i = alike; i < size; ++i) tokens[i] = static_cast<int32_t>(rng() % 300);
    return tokens;
  }
  TestModel test_;
};

TEST_P(PrefixCacheTest, GivesTheBitsOfComputingAgain) {
  const auto plain = Make(0);
  const auto cached = Make(GetParam().cache_tokens);
  const auto vocab = static_cast<size_t>(plain->vocab_size());
  std::mt19937 rng(7);
  int64_t adopted = 0;
  bool parted_within_page = false;
  for (int round = 0; round < 60; ++round) {
    const std::vector<int32_t> tokens = Prompt(rng);
    const std::vector<float> want = AllLogits(ExecContext(), *plain, tokens, {200});
    const int sequence = cached->OpenSequence().value();
    const int64_t begin = cached->AdoptPrefix(sequence, tokens);
    if (Recurrent()) {
      ASSERT_EQ(begin % 64, 0);
    }
    parted_within_page |= begin % 64 != 0;
    ASSERT_LT(begin, static_cast<int64_t>(tokens.size()));
    ASSERT_EQ(cached->SequenceLength(sequence), begin);
    adopted += begin;
    std::vector<float> got(tokens.size() * vocab);
    for (auto at = static_cast<size_t>(begin); at < tokens.size();) {
      const size_t end = std::min(tokens.size(), at + 1 + rng() % (rng() % 2 == 0 ? 200 : 70));
      if (rng() % 8 == 0) {  // a pass that fails leaves nothing behind
        std::vector<int32_t> wrong(tokens.begin(), tokens.begin() + static_cast<long>(end));
        std::atomic<bool> cancelled{true};
        EXPECT_FALSE(
            Feed({nullptr, nullptr, &cancelled}, *cached, sequence, wrong, at, end, got.data())
                .ok());
      }
      const Status status =
          Feed(ExecContext(), *cached, sequence, tokens, at, end, got.data() + at * vocab);
      ASSERT_TRUE(status.ok()) << status.ToString();
      at = end;
    }
    for (auto i = static_cast<size_t>(begin); i < tokens.size(); ++i)
      ASSERT_EQ(memcmp(&got[i * vocab], &want[i * vocab], vocab * sizeof(float)), 0)
          << "round " << round << ", position " << i << ", from " << begin;
    cached->CloseSequence(sequence);
    const KvUsage usage = cached->kv_usage();
    EXPECT_EQ(usage.pages_used, 0);
    EXPECT_EQ(usage.bytes_used, 0);
    EXPECT_LE(usage.pages_cached, usage.pages_total);
  }
  EXPECT_GT(adopted, 60 * 20);
  EXPECT_EQ(parted_within_page, !Recurrent());
}

// Three at once on the same pages, in one batch, each going its own way.
TEST_P(PrefixCacheTest, SequencesShareOnePageWithoutHarm) {
  const auto plain = Make(0);
  const auto cached = Make(GetParam().cache_tokens);
  const auto vocab = static_cast<size_t>(plain->vocab_size());
  std::vector<int32_t> prompts[3];
  for (int i = 0; i < 3; ++i) {
    prompts[i] = RandomTokens(150, 300, 5);
    for (size_t t = 130; t < 150; ++t) prompts[i][t] = static_cast<int32_t>(t) + i;
  }
  const int first = cached->OpenSequence().value();
  EXPECT_EQ(cached->AdoptPrefix(first, prompts[0]), 0);
  std::vector<float> logits(150 * vocab);
  ASSERT_TRUE(Feed(ExecContext(), *cached, first, prompts[0], 0, 150, logits.data()).ok());
  std::vector<BatchRow> rows;
  std::vector<int32_t> wanted;
  int sequences[3] = {first};
  for (int i = 1; i < 3; ++i) {
    sequences[i] = cached->OpenSequence().value();
    EXPECT_EQ(cached->AdoptPrefix(sequences[i], prompts[i]), 128);
    for (size_t t = 128; t < 150; ++t) {
      wanted.push_back(static_cast<int32_t>(rows.size()));
      rows.push_back({sequences[i], static_cast<int32_t>(t), prompts[i][t]});
    }
  }
  std::vector<float> got(rows.size() * vocab);
  ASSERT_TRUE(cached->Forward(ExecContext(), rows, wanted, got.data()).ok());
  for (int i = 1; i < 3; ++i) {
    const std::vector<float> want = AllLogits(ExecContext(), *plain, prompts[i], {150});
    EXPECT_EQ(memcmp(&got[static_cast<size_t>(i - 1) * 22 * vocab], &want[128 * vocab],
                     22 * vocab * sizeof(float)),
              0)
        << i;
  }
  EXPECT_FALSE(cached->TruncateSequence(first, 100).ok());
  EXPECT_TRUE(cached->TruncateSequence(first, 0).ok());
  for (const int sequence : sequences) cached->CloseSequence(sequence);
  EXPECT_EQ(cached->kv_usage().pages_used, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Model, PrefixCacheTest,
    ::testing::Values(Case{"llama", 0, 1024, 1024}, Case{"llama", 0, 512, 512},
                      Case{"llama", 0, 1024, 1024, KvType::kI8}, Case{"gemma3", 16, 1024, 1024},
                      Case{"gemma3", 100, 1024, 1024}, Case{"gemma3", 100, 512, 256},
                      Case{"lfm2", 0, 1024, 1024}, Case{"lfm2", 0, 512, 192},
                      Case{"lfm2moe", 0, 1024, 512}, Case{"qwen2", 0, 1024, 1024},
                      Case{"qwen3", 0, 1024, 1024}, Case{"mamba", 0, 1024, 1024},
                      Case{"granitehybrid", 0, 1024, 512}, Case{"qwen35", 0, 1024, 1024}));

}  // namespace
}  // namespace lull::testing
