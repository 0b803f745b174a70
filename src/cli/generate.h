// One request on an engine, waited for; and the flags that shape it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "lull/engine.h"
#include "lull/status.h"

namespace lull {

struct GenerationFlags {
  int64_t max_new_tokens = 512;
  SamplingParams sampling;
  std::vector<std::string> stop;
  int logprobs = 0;
  bool ignore_eog = false;
  std::vector<int32_t> shown_tokens;  // no flag: see Request
  std::vector<AdapterUse> adapters;   // no flag: AdapterFlags

  void AddTo(CLI::App& app);
};

struct Generation {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;  // per new token, where asked for
  FinishReason reason = FinishReason::kStop;
  RequestStats stats;
};

using TextFn = std::function<void(const std::string& text)>;

// Submits and blocks until the request ends; on_text sees the text as it comes.
Result<Generation> Generate(Engine& engine, const std::vector<int32_t>& prompt_tokens,
                            const GenerationFlags& flags, const TextFn& on_text);

}  // namespace lull
