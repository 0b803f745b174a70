// A batcher on a fake model, and what callers see of it: what the tests of the batcher stand on.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "sched/batcher.h"
#include "tests/support/fake_runner.h"

namespace lull {

using testing::FakeRunner;
using testing::FakeTokenizer;

// What a caller saw of one request.
struct Answer {
  std::vector<int32_t> tokens;
  std::string text;
  std::vector<TokenLogprob> chosen;
  int finishes = 0;
  FinishReason reason = FinishReason::kError;
  Error error;
  RequestStats stats;
};

struct World {
  explicit World(const FakeRunner::Options& options = {}, const BatcherOptions& batching = {})
      : tokenizer(FakeTokenizer::Letters(options.vocab_size)),
        runner(options),
        batcher(runner, tokenizer, {}, batching) {}

  void Add(uint64_t id, Request request) {
    ASSERT_TRUE(CheckRequest(request, batcher.limits()).ok());
    batcher.Add({id, std::move(request), std::make_shared<EventFn>([](const Event&) {}), 0});
  }
  void Take(std::vector<Delivery>* out) {
    for (Delivery& delivery : *out) {
      Answer& answer = answers[delivery.id];
      const Event& event = delivery.event;
      EXPECT_EQ(answer.finishes, 0) << "event after the last one";
      answer.text += event.text;
      if (event.kind == Event::Kind::kToken) {
        answer.tokens.push_back(event.token);
        answer.chosen.push_back(event.chosen);
      } else {
        ++answer.finishes;
        answer.reason = event.reason;
        answer.error = event.error;
        answer.stats = event.stats;
      }
    }
    out->clear();
  }
  void Step() {
    std::vector<Delivery> out;
    batcher.Step(&out);
    Take(&out);
  }
  void Cancel(uint64_t id) {
    std::vector<Delivery> out;
    batcher.Cancel(id, &out);
    Take(&out);
  }
  void Drain() {
    for (int i = 0; i < 100000 && !batcher.idle(); ++i) Step();
    EXPECT_TRUE(batcher.idle());
  }

  FakeTokenizer tokenizer;
  FakeRunner runner;
  Batcher batcher;
  std::map<uint64_t, Answer> answers;
};

inline Request MakeRequest(std::vector<int32_t> prompt, int64_t max_new_tokens) {
  Request request;
  request.prompt_tokens = std::move(prompt);
  request.max_new_tokens = max_new_tokens;
  return request;
}

inline Request RandomRequest(std::mt19937& rng) {
  Request request;
  request.prompt_tokens.resize(1 + rng() % (rng() % 8 == 0 ? 300 : 40));
  for (int32_t& token : request.prompt_tokens) token = static_cast<int32_t>(rng() % 64);
  request.max_new_tokens = static_cast<int64_t>(1 + rng() % (rng() % 8 == 0 ? 150 : 30));
  request.sampling.temperature = rng() % 2 == 0 ? 0.0 : 0.7;
  request.sampling.seed = rng();
  if (rng() % 3 == 0) request.sampling.top_k = 10;
  if (rng() % 3 == 0) request.sampling.top_p = 0.9;
  if (rng() % 4 == 0) request.sampling.frequency_penalty = 0.5;
  if (rng() % 4 == 0) request.stop = {std::string(1, static_cast<char>('0' + rng() % 64)), "AB"};
  request.ignore_eog = rng() % 2 == 0;
  request.logprobs = rng() % 4 == 0 ? 3 : 0;
  return request;
}

inline Answer Solo(const Request& request) {
  World world;
  world.Add(1, request);
  world.Drain();
  EXPECT_EQ(world.runner.misuse(), "");
  return world.answers[1];
}

inline void ExpectSame(const Answer& got, const Answer& want, const char* what) {
  EXPECT_EQ(got.tokens, want.tokens) << what;
  EXPECT_EQ(got.text, want.text) << what;
  EXPECT_EQ(got.reason, want.reason) << what;
  ASSERT_EQ(got.chosen.size(), want.chosen.size()) << what;
  for (size_t i = 0; i < got.chosen.size(); ++i) {
    EXPECT_EQ(got.chosen[i].logprob, want.chosen[i].logprob) << what;
  }
}

}  // namespace lull
