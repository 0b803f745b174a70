// Endpoint-security questions of known length, generated: every run of a seed asks the same, no two
// prompts share a beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

// What a tokenizer makes of a text, without what a template or a model puts around it.
using TokenCounter = std::function<Result<int64_t>(const std::string&)>;

struct BenchPrompt {
  int nominal_tokens = 0;  // of the text, by the counter
  std::string text;
};

struct PromptOptions {
  uint64_t seed = 1;
  size_t count = 1;
  std::vector<int> lengths = {40, 80, 160, 320, 640};  // in equal parts, in random order
  TokenCounter counter;                                // empty: EstimateTokens
};

// Prompts of exactly their lengths. kUsage where a length is too short for a question (about 30
// tokens) or cannot be met with this tokenizer; errors of the counter.
Result<std::vector<BenchPrompt>> MakeSecurityPrompts(const PromptOptions& options);

// What a byte-level BPE with single digits makes of such text, within about a tenth.
int EstimateTokens(const std::string& text);

}  // namespace lull
