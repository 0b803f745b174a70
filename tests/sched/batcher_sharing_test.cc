// Who gets what of a batcher when several want it: priorities, accounts, deadlines, prompts that
// begin alike.
#include <gtest/gtest.h>

#include <map>

#include "sched/batcher.h"
#include "tests/sched/batcher_world.h"

namespace lull {
namespace {

Request Of(Priority priority, const std::string& account, int64_t prompt, int64_t new_tokens) {
  Request request = MakeRequest(std::vector<int32_t>(static_cast<size_t>(prompt), 5), new_tokens);
  request.ignore_eog = true;
  request.priority = priority;
  request.account = account;
  return request;
}

// The order in which requests got their last token.
std::vector<uint64_t> FinishOrder(World& world) {
  std::vector<uint64_t> order;
  std::vector<Delivery> out;
  for (int i = 0; i < 100000 && !world.batcher.idle(); ++i) {
    world.batcher.Step(&out);
    for (const Delivery& delivery : out)
      if (delivery.event.kind == Event::Kind::kFinish) order.push_back(delivery.id);
    world.Take(&out);
  }
  return order;
}

TEST(Batcher, ClassesGoInTheirOrder) {
  World world({}, {.max_sequences = 1});
  world.Add(1, Of(Priority::kBackground, "", 5, 5));
  world.Add(2, Of(Priority::kBatch, "", 5, 5));
  world.Add(3, Of(Priority::kInteractive, "", 5, 5));
  world.Add(4, Of(Priority::kInteractive, "", 5, 5));
  EXPECT_EQ(FinishOrder(world), (std::vector<uint64_t>{3, 4, 2, 1}));
}

// An interactive request takes the only place; what it displaced is answered all the same.
TEST(Batcher, InteractiveDisplacesBackgroundWithoutLoss) {
  const Request background = Of(Priority::kBackground, "", 20, 60);
  World world({}, {.max_sequences = 1});
  world.Add(1, background);
  for (int i = 0; i < 10; ++i) world.Step();
  world.Add(2, Of(Priority::kInteractive, "", 5, 5));
  EXPECT_EQ(FinishOrder(world), (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(world.batcher.counts().preempted, 1);
  ExpectSame(world.answers[1], Solo(background), "displaced");
}

TEST(Batcher, BackgroundStandsStillBesideInteractive) {
  World world;
  world.Add(1, Of(Priority::kBackground, "", 5, 50));
  for (int i = 0; i < 5; ++i) world.Step();
  world.Add(2, Of(Priority::kInteractive, "", 5, 20));
  world.Add(3, Of(Priority::kBatch, "", 5, 20));
  const size_t before = world.answers[1].tokens.size();
  while (world.answers[2].finishes == 0) world.Step();
  EXPECT_LE(world.answers[1].tokens.size(), before + 1);
  EXPECT_EQ(world.answers[3].tokens.size(), 20u);
  world.Drain();
  EXPECT_EQ(world.answers[1].tokens.size(), 50u);
  EXPECT_EQ(world.batcher.counts().preempted, 0);
}

// One account with many requests does not keep out another one with few.
TEST(Batcher, AccountsShareFairly) {
  World world({}, {.max_sequences = 1});
  for (uint64_t id = 1; id <= 6; ++id) world.Add(id, Of(Priority::kBatch, "many", 10, 10));
  world.Step();
  world.Add(7, Of(Priority::kBatch, "few", 10, 10));
  world.Add(8, Of(Priority::kBatch, "few", 10, 10));
  EXPECT_EQ(FinishOrder(world), (std::vector<uint64_t>{1, 7, 2, 8, 3, 4, 5, 6}));
}

// Also among prompts that are computed side by side.
TEST(Batcher, AccountsShareThePrefill) {
  World world({}, {.prefill_chunk_tokens = 16});
  for (uint64_t id = 1; id <= 4; ++id) world.Add(id, Of(Priority::kInteractive, "many", 64, 1));
  world.Add(5, Of(Priority::kInteractive, "few", 64, 1));
  const std::vector<uint64_t> order = FinishOrder(world);
  EXPECT_LE(std::find(order.begin(), order.end(), 5u) - order.begin(), 1);
}

TEST(Batcher, ADeadlineEndsWhatIsLate) {
  int64_t now_ns = 1'000'000'000;
  FakeRunner::Options runner;
  World world(runner, {.max_sequences = 1, .now_ns = [&now_ns] { return now_ns; }});
  const auto add = [&](uint64_t id, int64_t deadline_ms) {
    Request request = Of(Priority::kInteractive, "", 5, 20);
    request.deadline_ms = deadline_ms;
    world.batcher.Add({id, request, std::make_shared<EventFn>([](const Event&) {}), now_ns});
  };
  add(1, 50);  // ends while it runs
  add(2, 30);  // while it waits
  add(3, 1000);
  add(4, 0);
  for (int i = 0; i < 100 && !world.batcher.idle(); ++i) {
    world.Step();
    now_ns += 10'000'000;
  }
  for (const uint64_t id : {1, 2}) {
    EXPECT_EQ(world.answers[id].reason, FinishReason::kError);
    EXPECT_EQ(world.answers[id].error.code, ErrorCode::kDeadlineExceeded);
    EXPECT_EQ(world.answers[id].error.where, "deadline_ms");
  }
  EXPECT_EQ(world.answers[1].tokens.size(), 5u);
  EXPECT_EQ(world.answers[2].tokens.size(), 0u);
  EXPECT_EQ(world.answers[3].tokens.size(), 20u);
  EXPECT_EQ(world.answers[4].tokens.size(), 20u);
  EXPECT_EQ(world.batcher.counts().expired, 2);
  EXPECT_EQ(world.batcher.counts().finished, 4);
}

// A long prompt beside an answer: steps are cut to the time allowed, as measured.
TEST(Batcher, PromptsLeaveAnswersTheirTime) {
  World world({.max_batch_rows = 600}, {.prefill_chunk_tokens = 400, .max_step_s = 0.020});
  world.runner.on_forward = [](const ExecContext&, std::span<const BatchRow> rows) {
    os::SleepUntilNs(os::MonotonicNs() + 200'000 * static_cast<int64_t>(rows.size()));
    return Status::Ok();
  };
  world.Add(1, Of(Priority::kInteractive, "", 50, 200));
  for (int i = 0; i < 10; ++i) world.Step();
  world.runner.max_rows_seen = 0;
  world.Add(2, Of(Priority::kInteractive, "", 400, 2));
  while (world.answers[2].finishes == 0) world.Step();
  EXPECT_LE(world.runner.max_rows_seen, 1 + 100);  // 0.2 ms a row, at least
  EXPECT_GE(world.runner.max_rows_seen, 1 + 16);
}

Request Alike(int64_t prompt, int64_t new_tokens, int32_t last) {
  Request request = Of(Priority::kInteractive, "", prompt, new_tokens);
  request.prompt_tokens.back() = last;
  return request;
}

// Of prompts that begin alike one is computed; the others wait for its pages and say so.
TEST(Batcher, PromptsThatBeginAlikeAreComputedOnce) {
  const BatcherOptions batching = {.prefill_chunk_tokens = 32, .prefix_cache = true};
  World world({.prefix_cache = true}, batching);
  int64_t rows = 0;
  world.runner.on_forward = [&rows](const ExecContext&, std::span<const BatchRow> batch) {
    rows += static_cast<int64_t>(batch.size());
    return Status::Ok();
  };
  for (uint64_t id = 1; id <= 5; ++id) world.Add(id, Alike(200, 4, static_cast<int32_t>(id)));
  Request alone = Alike(200, 4, 9);
  alone.use_prefix_cache = false;
  world.Add(6, alone);
  world.Drain();
  EXPECT_EQ(world.runner.misuse(), "");
  EXPECT_EQ(rows, 200 + 4 * 8 + 200 + 6 * 3);
  EXPECT_EQ(world.answers[1].stats.cached_tokens, 0);
  EXPECT_EQ(world.answers[6].stats.cached_tokens, 0);
  for (uint64_t id = 2; id <= 5; ++id) EXPECT_EQ(world.answers[id].stats.cached_tokens, 192);
  for (uint64_t id = 1; id <= 5; ++id)
    ExpectSame(world.answers[id], Solo(Alike(200, 4, static_cast<int32_t>(id))), "shared");
  EXPECT_EQ(world.batcher.counts().prefix_hits, 4 * 192);
  EXPECT_EQ(world.batcher.counts().prefix_queries, 5 * 200);
}

// The first of them goes: the next one goes on where it was.
TEST(Batcher, ACancelledLeaderLeavesItsPages) {
  World world({.prefix_cache = true}, {.prefill_chunk_tokens = 32, .prefix_cache = true});
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, Alike(200, 4, 7));
  for (int i = 0; i < 5; ++i) world.Step();
  world.Cancel(1);
  world.Drain();
  EXPECT_EQ(world.answers[2].stats.cached_tokens, 128);
  EXPECT_EQ(world.answers[3].stats.cached_tokens, 192);
  ExpectSame(world.answers[3], Solo(Alike(200, 4, 7)), "after a cancel");
}

// The pool runs short in the very step in which the youngest one's deadline has passed.
TEST(Batcher, WhatHasExpiredIsNotPreempted) {
  int64_t now_ns = 0;
  BatcherOptions options;
  options.kv_pool_tokens = 3 * 64;
  options.prefill_chunk_tokens = 256;
  options.answer_room_tokens = 4;
  options.now_ns = [&now_ns] { return now_ns; };
  World world({.pool_pages = 3}, options);
  Request older = MakeRequest(std::vector<int32_t>(60, 1), 100);
  Request younger = MakeRequest(std::vector<int32_t>(100, 2), 50);
  older.ignore_eog = younger.ignore_eog = true;
  younger.deadline_ms = 1;
  world.Add(1, older);
  world.Add(2, younger);
  while (world.answers[1].tokens.size() < 5) world.Step();  // 65 tokens: a second page
  ASSERT_EQ(world.answers[2].tokens.size(), 5u);
  now_ns = 2'000'000;
  world.Step();
  EXPECT_EQ(world.answers[2].finishes, 1);
  EXPECT_EQ(world.answers[2].error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(world.batcher.counts().preempted, 0);
  world.Drain();
  EXPECT_EQ(world.runner.misuse(), "");
}

}  // namespace
}  // namespace lull
