// No step over a vocabulary of 262,144 goes 0.3 ms without a checkpoint.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "decode/logprobs.h"
#include "decode/sampler.h"
#include "tests/support/gap_meter.h"

namespace lull {
namespace {

using testing::ExpectGaps;
using testing::GapMeter;
using testing::kMaxGapMs;

constexpr size_t kVocab = 262'144;

std::vector<float> RandomLogits() {
  std::vector<float> logits(kVocab);
  uint32_t state = 1;
  for (float& x : logits) {
    state = state * 1664525 + 1013904223;
    x = static_cast<float>(state >> 8) * 0x1p-20f;
  }
  return logits;
}

// The worst order for a heap of the best so far.
std::vector<float> AscendingLogits() {
  std::vector<float> logits(kVocab);
  for (size_t i = 0; i < kVocab; ++i) logits[i] = static_cast<float>(i) * 1e-4f;
  return logits;
}

TEST(DecodeCheckpointTest, Sampling) {
  struct Case {
    const char* name;
    SamplingParams params;
  };
  const auto params = [](int64_t top_k, double top_p) {
    SamplingParams p;
    p.temperature = 0.8;
    p.top_k = top_k;
    p.top_p = top_p;
    return p;
  };
  SamplingParams penalties = params(0, 1.0);
  penalties.repetition_penalty = 1.1;
  penalties.penalty_last_n = -1;
  const Case cases[] = {{"greedy", SamplingParams()},    {"all", params(0, 1.0)},
                        {"top_k 40", params(40, 1.0)},   {"top_k 512", params(512, 0.9)},
                        {"top_k 513", params(513, 0.9)}, {"top_k 200000", params(200'000, 0.99)},
                        {"top_p 0.5", params(0, 0.5)},   {"top_p 0.99999", params(0, 0.99999)},
                        {"penalties", penalties}};
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  for (const auto& logits : {RandomLogits(), AscendingLogits()}) {
    for (const Case& c : cases) {
      std::vector<float> row = logits;
      std::vector<int32_t> prompt(100'000);
      for (size_t i = 0; i < prompt.size(); ++i)
        prompt[i] = static_cast<int32_t>(i * 7919 % kVocab);
      Sampler sampler(c.params);
      sampler.AcceptAll(ctx, prompt);
      ExpectGaps(c.name, meter, kMaxGapMs, [&] { ASSERT_TRUE(sampler.Sample(ctx, row, 3).ok()); });
      EXPECT_EQ(row, logits);
    }
  }
}

TEST(DecodeCheckpointTest, TakingInALongPrompt) {
  SamplingParams params;
  params.presence_penalty = 0.5;
  params.penalty_last_n = -1;
  std::vector<int32_t> prompt(20'000);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i);
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  ExpectGaps("prompt", meter, kMaxGapMs, [&] {
    Sampler sampler(params);
    meter.Start();
    sampler.AcceptAll(ctx, prompt);
    sampler.Forget(ctx);
    meter.Checkpoint();
  });
}

TEST(DecodeCheckpointTest, Logprobs) {
  GapMeter meter;
  ExecContext ctx;
  ctx.pacer = &meter;
  for (const auto& logits : {RandomLogits(), AscendingLogits()}) {
    for (const int k : {0, 20, 600, static_cast<int>(kVocab)}) {
      ExpectGaps(("logprobs " + std::to_string(k)).c_str(), meter, kMaxGapMs, [&] {
        const Logprobs result = ComputeLogprobs(ctx, logits, 7, k);
        meter.Checkpoint();
        EXPECT_EQ(result.top.size(), static_cast<size_t>(k));
      });
    }
  }
}

}  // namespace
}  // namespace lull
