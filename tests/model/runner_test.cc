#include "model/runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>

#include "tests/model/model_test_util.h"

namespace lull::testing {
namespace {

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() : test_(LoadTiny(TinyModelSpec())) {}
  TestModel test_;
};

TEST_F(RunnerTest, RefusesBadBatches) {
  auto runner = NewRunner(*test_.model, BestKernels(), 2, 8);
  const int a = runner->OpenSequence().value(), b = runner->OpenSequence().value();
  std::vector<float> logits(9 * static_cast<size_t>(runner->vocab_size()));
  const auto code = [&](std::vector<BatchRow> rows, std::vector<int32_t> wanted) {
    const Status status = runner->Forward(ExecContext(), rows, wanted, logits.data());
    EXPECT_EQ(runner->SequenceLength(a), 0);
    EXPECT_EQ(runner->SequenceLength(b), 0);
    EXPECT_EQ(runner->kv_usage().pages_used, 0);
    return status.code();
  };
  const auto vocab = static_cast<int32_t>(runner->vocab_size());
  EXPECT_EQ(code({{a, 0, vocab}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, -1}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 1, 0}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, 0}, {a, 2, 0}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, 0}, {b, 0, 0}, {a, 1, 0}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{77, 0, 0}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{-1, 0, 0}}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, 0}}, {1}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, 0}}, {-1}), ErrorCode::kUsage);
  EXPECT_EQ(code({}, {0}), ErrorCode::kUsage);
  EXPECT_EQ(code(std::vector<BatchRow>(9), {0}), ErrorCode::kUsage);
  EXPECT_EQ(code({{a, 0, 0}}, std::vector<int32_t>(9, 0)), ErrorCode::kUsage);
  EXPECT_EQ(code({}, {}), ErrorCode::kOk);
}

TEST_F(RunnerTest, NamesTheTokenThatIsOutside) {
  auto runner = NewRunner(*test_.model, BestKernels());
  const BatchRow row{runner->OpenSequence().value(), 0, 123456};
  const Status status = runner->Forward(ExecContext(), {&row, 1}, {}, nullptr);
  EXPECT_NE(status.error().message.find("123456"), std::string::npos) << status.ToString();
}

TEST_F(RunnerTest, ContextOverflowSaysHowLong) {
  RunnerOptions options;
  options.max_context_tokens = 10;
  auto runner = MakeRunner(*test_.model, BestKernels(), options).value();
  EXPECT_EQ(runner->max_context_tokens(), 10);
  const int id = runner->OpenSequence().value();
  const std::vector<int32_t> tokens = RandomTokens(11, runner->vocab_size(), 1);
  std::vector<float> logits(11 * static_cast<size_t>(runner->vocab_size()));
  EXPECT_TRUE(runner->HasRoom(id, 10));
  EXPECT_FALSE(runner->HasRoom(id, 11));
  const Status status = Feed(ExecContext(), *runner, id, tokens, 0, 11, logits.data());
  EXPECT_EQ(status.code(), ErrorCode::kContextOverflow);
  EXPECT_NE(status.error().message.find("10 tokens"), std::string::npos) << status.ToString();
  EXPECT_EQ(runner->SequenceLength(id), 0);
  EXPECT_TRUE(Feed(ExecContext(), *runner, id, tokens, 0, 10, logits.data()).ok());
}

TEST_F(RunnerTest, PoolExhaustionFailsBeforeAnythingIsWritten) {
  auto runner = NewRunner(*test_.model, BestKernels(), 2, 512, KvType::kF16, 128);
  const int a = runner->OpenSequence().value(), b = runner->OpenSequence().value();
  const std::vector<int32_t> tokens = RandomTokens(130, runner->vocab_size(), 1);
  const auto vocab = static_cast<size_t>(runner->vocab_size());
  std::vector<float> logits(130 * vocab), again(130 * vocab);
  ASSERT_TRUE(Feed(ExecContext(), *runner, a, tokens, 0, 60, logits.data()).ok());
  EXPECT_EQ(Feed(ExecContext(), *runner, b, tokens, 0, 65, logits.data()).code(), ErrorCode::kBusy);
  EXPECT_EQ(runner->SequenceLength(b), 0);
  EXPECT_EQ(runner->kv_usage().pages_used, 1);
  // One batch in which the second sequence does not fit: neither moves.
  std::vector<BatchRow> rows = {{a, 60, 1}};
  for (int i = 0; i < 65; ++i) rows.push_back({b, i, 1});
  EXPECT_EQ(runner->Forward(ExecContext(), rows, {}, nullptr).code(), ErrorCode::kBusy);
  EXPECT_EQ(runner->SequenceLength(a), 60);
  EXPECT_EQ(runner->kv_usage().pages_used, 1);
  // And the first goes on as if nothing had happened.
  ASSERT_TRUE(Feed(ExecContext(), *runner, a, tokens, 60, 100, logits.data()).ok());
  auto fresh = NewRunner(*test_.model, BestKernels());
  const int c = fresh->OpenSequence().value();
  ASSERT_TRUE(Feed(ExecContext(), *fresh, c, tokens, 0, 100, again.data()).ok());
  EXPECT_EQ(memcmp(logits.data(), &again[60 * vocab], 40 * vocab * sizeof(float)), 0);
}

TEST_F(RunnerTest, SequencesAreLimitedAndReused) {
  auto runner = NewRunner(*test_.model, BestKernels(), 2);
  const int a = runner->OpenSequence().value();
  ASSERT_TRUE(runner->OpenSequence().ok());
  EXPECT_EQ(runner->OpenSequence().status().code(), ErrorCode::kBusy);
  runner->CloseSequence(a);
  EXPECT_TRUE(runner->OpenSequence().ok());
  runner->CloseSequence(-5);
  runner->CloseSequence(500);
  EXPECT_EQ(runner->SequenceLength(500), 0);
}

// Cancels itself at the n-th checkpoint.
class CancellingPacer : public Pacer {
 public:
  CancellingPacer(std::atomic<bool>* flag, int after) : flag_(flag), left_(after) {}
  void Checkpoint() override {
    ++seen;
    if (--left_ == 0) flag_->store(true);
  }
  bool capped() const override { return false; }
  std::atomic<int> seen{0};

 private:
  std::atomic<bool>* flag_;
  std::atomic<int> left_;
};

// Of the pass over tokens 50 to 90.
int CountCheckpoints(Runner& runner, const std::vector<int32_t>& tokens) {
  std::vector<float> logits(90 * static_cast<size_t>(runner.vocab_size()));
  std::atomic<bool> never{false};
  CancellingPacer counter(&never, 1 << 20);
  ExecContext ctx;
  ctx.pacer = &counter;
  const int id = runner.OpenSequence().value();
  EXPECT_TRUE(Feed(ctx, runner, id, tokens, 0, 50, logits.data()).ok());
  counter.seen = 0;
  EXPECT_TRUE(Feed(ctx, runner, id, tokens, 50, 90, logits.data()).ok());
  runner.CloseSequence(id);
  EXPECT_GT(counter.seen, 5);
  return counter.seen;
}

TEST(RunnerCancelTest, ACancelledPassLeavesNoTrace) {
  for (const char* arch : {"llama", "lfm2", "lfm2moe"}) {
    TinyModelSpec spec;
    spec.arch = arch;
    const TestModel t = LoadTiny(spec);
    auto runner = NewRunner(*t.model, BestKernels(), 2);
    const auto vocab = static_cast<size_t>(runner->vocab_size());
    const std::vector<int32_t> tokens = RandomTokens(90, runner->vocab_size(), 1);
    const std::vector<float> want = AllLogits(ExecContext(), *runner, tokens, {50, 40});
    const int id = runner->OpenSequence().value();
    std::vector<float> logits(90 * vocab);
    ASSERT_TRUE(Feed(ExecContext(), *runner, id, tokens, 0, 50, logits.data()).ok());
    for (int after = CountCheckpoints(*runner, tokens); after > 0; after -= 1 + after / 20) {
      std::atomic<bool> cancelled{false};
      CancellingPacer pacer(&cancelled, after);
      ExecContext ctx;
      ctx.pacer = &pacer;
      ctx.cancelled = &cancelled;
      const std::vector<int32_t> other =
          RandomTokens(90, runner->vocab_size(), static_cast<uint64_t>(after));
      const Status status = Feed(ctx, *runner, id, other, 50, 90, logits.data());
      EXPECT_EQ(status.code(), ErrorCode::kCancelled);
      EXPECT_EQ(runner->SequenceLength(id), 50);
    }
    ASSERT_EQ(runner->SequenceLength(id), 50) << arch;
    ASSERT_TRUE(Feed(ExecContext(), *runner, id, tokens, 50, 90, logits.data()).ok());
    EXPECT_EQ(memcmp(logits.data(), &want[50 * vocab], 40 * vocab * sizeof(float)), 0) << arch;
  }
}

TEST_F(RunnerTest, KvTypesDiffer) {
  const std::vector<int32_t> tokens = RandomTokens(40, test_.model->info().vocab_size, 1);
  std::vector<std::vector<float>> results;
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kBf16, KvType::kI8}) {
    auto runner = NewRunner(*test_.model, BestKernels(), 1, 64, type);
    results.push_back(AllLogits(ExecContext(), *runner, tokens, {40}));
    EXPECT_EQ(AllLogits(ExecContext(), *runner, tokens, {7}), results.back());
  }
  double f16 = 0, bf16 = 0, int8 = 0;
  for (size_t i = 0; i < results[0].size(); ++i) {
    f16 = std::max(f16, std::abs(static_cast<double>(results[1][i]) - results[0][i]));
    bf16 = std::max(bf16, std::abs(static_cast<double>(results[2][i]) - results[0][i]));
    int8 = std::max(int8, std::abs(static_cast<double>(results[3][i]) - results[0][i]));
  }
  EXPECT_GT(f16, 0);
  EXPECT_GT(bf16, f16);
  EXPECT_LT(bf16, 0.5);
  EXPECT_GT(int8, f16);
  EXPECT_LT(int8, 0.5);
}

TEST_F(RunnerTest, RefusesBadOptions) {
  for (const RunnerOptions& options :
       {RunnerOptions{KvType::kF16, -1, 0, 1, 1}, RunnerOptions{KvType::kF16, 0, -1, 1, 1},
        RunnerOptions{KvType::kF16, 0, 0, 0, 1}, RunnerOptions{KvType::kF16, 0, 0, 1, 0}})
    EXPECT_EQ(MakeRunner(*test_.model, BestKernels(), options).status().code(), ErrorCode::kUsage);
}

}  // namespace
}  // namespace lull::testing
