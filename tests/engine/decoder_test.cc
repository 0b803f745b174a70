#include "lull/decoder.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/engine/world.h"

namespace lull {
namespace {

using testing::Prompt;
using testing::World;

std::vector<BatchRow> Rows(int32_t sequence, const std::vector<int32_t>& tokens,
                           int32_t first = 0) {
  std::vector<BatchRow> rows;
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.push_back({sequence, first + static_cast<int32_t>(i), tokens[i]});
  }
  return rows;
}

// Logits of every position of a prompt on a fresh decoder.
std::vector<float> AllLogits(World& world, const std::vector<int32_t>& prompt, int max_batch_rows) {
  const auto decoder = world.NewDecoder({.max_batch_rows = max_batch_rows});
  const std::vector<BatchRow> rows = Rows(*decoder->OpenSequence(), prompt);
  std::vector<int32_t> all(rows.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
  std::vector<float> logits(rows.size() * 320);
  const Status status = decoder->Forward(rows, all, logits.data());
  EXPECT_TRUE(status.ok()) << status.ToString();
  return logits;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Decoder, LongBatchesAreCutWithTheSameBits) {
  World world({}, {.type = "mixed"});
  const std::vector<int32_t> prompt = Prompt(1, 100);
  const std::vector<float> want = AllLogits(world, prompt, 512);
  for (const int rows : {1, 7, 64, 99})
    EXPECT_TRUE(SameBits(AllLogits(world, prompt, rows), want)) << rows;
}

TEST(Decoder, LogitsRowsInAnyOrder) {
  World world;
  const std::vector<int32_t> prompt = Prompt(2, 30);
  const std::vector<float> all = AllLogits(world, prompt, 512);
  const auto decoder = world.NewDecoder({.max_batch_rows = 8});
  const std::vector<int32_t> wanted{29, 3, 17, 4, 29};
  std::vector<float> logits(wanted.size() * 320);
  const Status status =
      decoder->Forward(Rows(*decoder->OpenSequence(), prompt), wanted, logits.data());
  ASSERT_TRUE(status.ok()) << status.ToString();
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(0, std::memcmp(&logits[i * 320], &all[static_cast<size_t>(wanted[i]) * 320], 320 * 4))
        << i;
  }
}

TEST(Decoder, SameBitsUnderAnyBudgetThreadsAndInstructionSet) {
  const std::vector<int32_t> prompt = Prompt(3, 40);
  World reference({.threads = 1, .isa = "scalar"}, {.type = "mixed"});
  const std::vector<float> want = AllLogits(reference, prompt, 512);
  for (const char* isa : {"", "avx2"}) {
    for (const int threads : {1, 2, 5}) {
      RuntimeOptions options{.threads = threads, .isa = isa};
      if (threads == 2) options.budget.cpu = {.mean_share = 0.10};
      if (!Runtime::Create(options).ok()) continue;
      World world(options, {.type = "mixed"});
      EXPECT_TRUE(SameBits(AllLogits(world, prompt, 512), want)) << isa << " " << threads;
    }
  }
}

TEST(Decoder, SequencesAndTruncation) {
  World world;
  const auto decoder = world.NewDecoder({.max_sequences = 2});
  const int32_t a = *decoder->OpenSequence();
  const int32_t b = *decoder->OpenSequence();
  EXPECT_EQ(decoder->OpenSequence().error().code, ErrorCode::kBusy);
  const std::vector<int32_t> prompt = Prompt(4, 20);
  std::vector<float> first(320), again(320);
  const int32_t last = 19;
  ASSERT_TRUE(decoder->Forward(Rows(a, prompt), {&last, 1}, first.data()).ok());
  ASSERT_TRUE(decoder->Forward(Rows(b, Prompt(5, 9)), {}, nullptr).ok());
  EXPECT_EQ(decoder->SequenceLength(a), 20);
  EXPECT_EQ(decoder->SequenceLength(b), 9);
  EXPECT_GT(decoder->kv_usage().pages_used, 0);
  ASSERT_TRUE(decoder->TruncateSequence(a, 19).ok());
  const int32_t only = 0;
  ASSERT_TRUE(decoder->Forward(Rows(a, {prompt[19]}, 19), {&only, 1}, again.data()).ok());
  EXPECT_TRUE(SameBits(first, again));
  EXPECT_EQ(decoder->TruncateSequence(a, 21).code(), ErrorCode::kUsage);
  decoder->CloseSequence(a);
  decoder->CloseSequence(b);
  decoder->CloseSequence(b);
  EXPECT_EQ(decoder->kv_usage().pages_used, 0);
  EXPECT_EQ(decoder->SequenceLength(a), 0);
}

TEST(Decoder, RefusesWhatMakesNoSense) {
  World world;
  const auto decoder = world.NewDecoder({.max_context_tokens = 32});
  const int32_t s = *decoder->OpenSequence();
  const auto code = [&](const std::vector<BatchRow>& rows, const std::vector<int32_t>& wanted) {
    std::vector<float> logits(320 * 4);
    return decoder->Forward(rows, wanted, logits.data()).code();
  };
  EXPECT_EQ(code({{s + 7, 0, 1}}, {}), ErrorCode::kUsage);
  EXPECT_EQ(code({{s, 1, 1}}, {}), ErrorCode::kUsage);
  EXPECT_EQ(code({{s, 0, 320}}, {}), ErrorCode::kUsage);
  EXPECT_EQ(code({{s, 0, -1}}, {}), ErrorCode::kUsage);
  EXPECT_EQ(code({{s, 0, 1}}, {1}), ErrorCode::kUsage);
  EXPECT_EQ(code(Rows(s, Prompt(1, 33)), {}), ErrorCode::kContextOverflow);
  EXPECT_EQ(decoder->SequenceLength(s), 0);
  EXPECT_EQ(code(Rows(s, Prompt(1, 32)), {31}), ErrorCode::kOk);
  const auto create = [&](const DecoderOptions& options) {
    const auto made = Decoder::Create(*world.model, *world.runtime, options);
    return made.ok() ? std::string() : made.error().where;
  };
  EXPECT_EQ(create({.kv_type = "q4"}), "kv_type");
  EXPECT_EQ(create({.kv_type = "int8"}), "");
  EXPECT_EQ(create({.activation_type = "q4"}), "activation_type");
  EXPECT_EQ(create({.activation_type = "q8_k"}), "");
  EXPECT_EQ(create({.max_context_tokens = 513}), "max_context_tokens");
  EXPECT_EQ(create({.max_context_tokens = -1}), "max_context_tokens");
  EXPECT_EQ(create({.kv_pool_tokens = -1}), "kv_pool_tokens");
  EXPECT_EQ(create({.max_sequences = 0}), "max_sequences");
  EXPECT_EQ(create({.max_batch_rows = 0}), "max_batch_rows");
}

}  // namespace
}  // namespace lull
