// A tiny random-weight model and what is needed to run it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "lull/decoder.h"
#include "lull/engine.h"
#include "lull/model.h"
#include "lull/runtime.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_model.h"

namespace lull::testing {

struct World {
  explicit World(const RuntimeOptions& options = {}, const TinyModelSpec& spec = {}) {
    const std::string path = directory.File("tiny.gguf");
    const Status written = WriteTinyModel(spec, path);
    EXPECT_TRUE(written.ok()) << written.ToString();
    auto made = Runtime::Create(options);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    runtime = std::move(*made);
    auto loaded = Model::Load(path, *runtime);
    EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
    model = std::move(*loaded);
  }
  std::unique_ptr<Engine> NewEngine(const EngineOptions& options = {}) {
    auto engine = Engine::Create(*model, *runtime, options);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
    return std::move(*engine);
  }
  std::unique_ptr<Decoder> NewDecoder(const DecoderOptions& options = {}) {
    auto decoder = Decoder::Create(*model, *runtime, options);
    EXPECT_TRUE(decoder.ok()) << decoder.status().ToString();
    return std::move(*decoder);
  }

  TemporaryDirectory directory;
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<Model> model;
};

// What came of one request. Waits on the test's thread, fills on the engine's.
class Answer {
 public:
  EventFn Fn() {
    return [this](const Event& event) {
      std::lock_guard<std::mutex> lock(mutex_);
      text += event.text;
      if (event.kind == Event::Kind::kToken) {
        tokens.push_back(event.token);
        chosen.push_back(event.chosen.logprob);
      } else {
        ++finishes;
        reason = event.reason;
        error = event.error;
        stats = event.stats;
      }
      changed_.notify_all();
    };
  }
  bool WaitFinish() {
    return Wait([&] { return finishes > 0; });
  }
  bool WaitTokens(size_t n) {
    return Wait([&] { return tokens.size() >= n; });
  }

  std::vector<int32_t> tokens;
  std::vector<float> chosen;
  std::string text;
  int finishes = 0;
  FinishReason reason = FinishReason::kError;
  Error error;
  RequestStats stats;

 private:
  template <typename Predicate>
  bool Wait(Predicate predicate) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(120), predicate);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A prompt of n tokens that depends on seed.
inline std::vector<int32_t> Prompt(int seed, int n) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back(3 + (seed * 31 + i * i * 7 + i) % 250);
  return tokens;
}

inline Request SampledRequest(int seed, int prompt_tokens, int64_t new_tokens) {
  Request request;
  request.prompt_tokens = Prompt(seed, prompt_tokens);
  request.max_new_tokens = new_tokens;
  request.ignore_eog = true;
  request.logprobs = 1;
  if (seed % 2 == 1) {
    request.sampling.temperature = 0.9;
    request.sampling.top_p = 0.95;
    request.sampling.seed = static_cast<uint64_t>(seed);
  }
  return request;
}

}  // namespace lull::testing
