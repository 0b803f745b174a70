// Checkpoints come at least every 0.3 ms of computation, on the shape of a 7B model, in loading,
// prefill and decode. Measured in thread CPU time: what other processes take is not ours.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/model/model_test_util.h"
#include "tests/support/gap_meter.h"

namespace lull::testing {
namespace {

TEST(CheckpointTest, SevenBillionShape) {
  if (!kGapsMeanSomething) GTEST_SKIP() << "a time bound means nothing under a sanitizer";
  TinyModelSpec spec;
  spec.type = "Q4_K";
  spec.embd = 4096;
  spec.heads = 32;
  spec.kv_heads = 8;
  spec.ffn = 11008;
  spec.layers = 1;
  spec.vocab = 2048;
  spec.ctx = 2048;
  GgufWriter writer;
  writer.set_durable(false);
  ASSERT_TRUE(BuildTinyModel(spec, &writer).ok());
  const auto file = WriteAndOpen(writer, "7b");
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  std::unique_ptr<LoadedModel> model;
  const double load_limit_ms = std::max(kMaxGapMs, 1.25 * ClearHugePageMs());
  ExpectGaps("load", meter, load_limit_ms, [&] {
    model.reset();
    meter.Start();
    model = LoadedModel::Load(ctx, *file).value();
  });
  auto runner = NewRunner(*model, BestKernels(), 1, 256);
  const std::vector<int32_t> tokens = RandomTokens(600, model->info().vocab_size, 1);
  std::vector<float> logits(600 * static_cast<size_t>(runner->vocab_size()));
  const int id = runner->OpenSequence().value();
  ASSERT_TRUE(Feed(ctx, *runner, id, tokens, 0, 200, logits.data()).ok());
  ExpectGaps("prefill", meter, kMaxGapMs, [&] {
    ASSERT_TRUE(runner->TruncateSequence(id, 200).ok());
    ASSERT_TRUE(Feed(ctx, *runner, id, tokens, 200, 400, logits.data()).ok());
  });
  ExpectGaps("decode", meter, kMaxGapMs, [&] {
    ASSERT_TRUE(runner->TruncateSequence(id, 400).ok());
    for (size_t i = 400; i < 404; ++i)
      ASSERT_TRUE(Feed(ctx, *runner, id, tokens, i, i + 1, logits.data()).ok());
  });
}

}  // namespace
}  // namespace lull::testing
