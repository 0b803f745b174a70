// Any spec, any walk: for fuzzing, without files or a test framework.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/constraint.h"

namespace lull::grammar::testing {

// A token for each byte, some longer ones, and the end.
class ByteTokenizer : public Tokenizer {
 public:
  int64_t vocab_size() const override { return static_cast<int64_t>(256 + std::size(kLonger) + 1); }
  Result<std::vector<int32_t>> Encode(const ExecContext&, std::string_view,
                                      const TokenizeOptions&) const override {
    return Status(ErrorCode::kUnsupported, "encoding");
  }
  std::string TokenBytes(int32_t token, bool) const override {
    if (token < 256) return std::string(1, static_cast<char>(token));
    return IsEndOfGeneration(token) ? "" : std::string(kLonger[token - 256]);
  }
  std::string Decode(const ExecContext&, const std::vector<int32_t>&, bool) const override {
    return {};
  }
  std::unique_ptr<TextStream> NewTextStream(bool) const override { return nullptr; }
  bool IsEndOfGeneration(int32_t token) const override { return token == vocab_size() - 1; }
  bool adds_bos() const override { return false; }
  int32_t bos_token() const override { return -1; }
  int32_t eos_token() const override { return static_cast<int32_t>(vocab_size()) - 1; }
  std::string TokenText(int32_t token) const override { return TokenBytes(token, false); }

 private:
  static constexpr std::string_view kLonger[] = {
      "{\"",  "\":", "\",", "\"}", "\"]", "},",  "}}",       "]}",       ", \"",  "\n  ",    "true",
      "null", "ab",  "abc", "12",  "1.",  "\\u", "\xC3\xA9", "\xE2\x82", "a\xC3", "\"a\":\""};
};

// Compiles the spec and follows choices through its masks. False where a promise does not hold: an
// allowed token is refused, or nothing may follow an unfinished text. Errors are fine.
inline bool WalkThroughMasks(const GrammarSpec& spec, std::string_view choices) {
  static const ByteTokenizer tokenizer;
  static const auto vocabulary = std::make_shared<const TokenVocabulary>(tokenizer, ExecContext());
  AutomatonLimits limits;
  limits.max_nodes = 20'000;
  const auto grammar = Grammar::Compile(spec, ExecContext(), limits);
  if (!grammar.ok()) return grammar.status().code() != ErrorCode::kInternal;
  Constraint constraint(*grammar, vocabulary, ExecContext());
  std::vector<uint32_t> mask((static_cast<size_t>(vocabulary->vocab_size()) + 31) / 32);
  uint64_t state = 1;
  for (int step = 0; step < 40 && !constraint.finished(); ++step) {
    const Status filled = constraint.FillMask(mask);
    if (!filled.ok()) return filled.code() == ErrorCode::kUnsupported;
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < vocabulary->vocab_size(); ++token) {
      if ((mask[token / 32] >> (token % 32) & 1) != 0) allowed.push_back(token);
    }
    if (allowed.empty()) return false;
    state = state * 6364136223846793005u + 1442695040888963407u;
    const size_t at = static_cast<size_t>(step);
    const uint64_t choice = at < choices.size() ? static_cast<uint8_t>(choices[at]) : state >> 33;
    const Status accepted = constraint.Accept(allowed[choice % allowed.size()]);
    if (!accepted.ok()) return accepted.code() == ErrorCode::kUnsupported;
  }
  return true;
}

}  // namespace lull::grammar::testing
