#include "cli/generate.h"

#include <condition_variable>
#include <mutex>

namespace lull {

void GenerationFlags::AddTo(CLI::App& app) {
  app.add_option("-n,--max-tokens", max_new_tokens, "new tokens at most (default 512)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  app.add_option("--temp", sampling.temperature, "temperature; 0 is greedy (default)");
  app.add_option("--top-k", sampling.top_k, "keep the k likeliest tokens; 0: off");
  app.add_option("--top-p", sampling.top_p, "keep the likeliest tokens up to this mass; 1: off");
  app.add_option("--min-p", sampling.min_p,
                 "drop tokens below this share of the likeliest; 0: off");
  app.add_option("--repeat-penalty", sampling.repetition_penalty, "1: off");
  app.add_option("--frequency-penalty", sampling.frequency_penalty, "0: off");
  app.add_option("--presence-penalty", sampling.presence_penalty, "0: off");
  app.add_option("--seed", sampling.seed, "seed of the counter-based randomness");
  app.add_option("--stop", stop, "stop string; may be given several times")
      ->allow_extra_args(false);
  app.add_option("--logprobs", logprobs, "log-probabilities of the K likeliest tokens")
      ->check(CLI::Range(0, 1000));
  app.add_flag("--ignore-eog", ignore_eog, "go on past end-of-generation tokens");
}

namespace {

// Collects the events of one request; the engine's thread writes, the caller waits.
struct Collector {
  std::mutex mutex;
  std::condition_variable done_cv;
  bool done = false;
  Generation generation;
  Error error;
  int logprobs = 0;
  const TextFn* on_text = nullptr;

  void OnEvent(const Event& event) {
    if (!event.text.empty() && *on_text) (*on_text)(event.text);
    std::lock_guard<std::mutex> lock(mutex);
    generation.text += event.text;
    if (event.kind == Event::Kind::kToken) {
      generation.tokens.push_back(event.token);
      if (logprobs > 0) generation.logprobs.push_back(event.top);
      return;
    }
    generation.reason = event.reason;
    generation.stats = event.stats;
    error = event.error;
    done = true;
    done_cv.notify_all();
  }
};

}  // namespace

Result<Generation> Generate(Engine& engine, const std::vector<int32_t>& prompt_tokens,
                            const GenerationFlags& flags, const TextFn& on_text) {
  Request request;
  request.adapters = flags.adapters;
  request.prompt_tokens = prompt_tokens;
  request.sampling = flags.sampling;
  request.max_new_tokens = flags.max_new_tokens;
  request.stop = flags.stop;
  request.logprobs = flags.logprobs;
  request.ignore_eog = flags.ignore_eog;
  request.shown_tokens = flags.shown_tokens;
  Collector collector;
  collector.logprobs = flags.logprobs;
  collector.on_text = &on_text;
  const Result<RequestId> id =
      engine.Submit(std::move(request), [&](const Event& event) { collector.OnEvent(event); });
  if (!id.ok()) return id.error();
  std::unique_lock<std::mutex> lock(collector.mutex);
  collector.done_cv.wait(lock, [&] { return collector.done; });
  if (collector.generation.reason == FinishReason::kError) return collector.error;
  return std::move(collector.generation);
}

}  // namespace lull
