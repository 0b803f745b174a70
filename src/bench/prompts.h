// Endpoint-security questions of known length, generated: every run of a seed asks the same, no two
// prompts share a beginning.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lull {

struct BenchPrompt {
  int nominal_tokens = 0;  // 40, 80, 160, 320 or 640; the true count depends on the tokenizer
  std::string text;
};

// Every five prompts hold one of each length, in random order.
std::vector<BenchPrompt> MakeSecurityPrompts(uint64_t seed, size_t count);

// What a byte-level BPE with single digits makes of such text, within about a tenth.
int EstimateTokens(const std::string& text);

}  // namespace lull
