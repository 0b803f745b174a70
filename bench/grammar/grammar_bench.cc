// What masks cost: builds the constraints of some schemas over the vocabularies of real model files
// and follows each for 10,000 tokens, chosen at random among the allowed.
//   grammar_bench MODEL.gguf...
// Prints per vocabulary and schema: the compile time, and microseconds a mask (median, p99, most)
// the first time through and again with the masks remembered.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/os/os.h"
#include "formats/gguf.h"
#include "grammar/constraint_factory.h"
#include "tests/support/random_weights.h"
#include "tokenizer/tokenizer.h"

namespace lull::grammar {
namespace {

constexpr int kTokens = 10'000;
constexpr int kMaxAnswerTokens = 300;

struct Case {
  const char* name;
  GrammarSpec spec;
};

GrammarSpec Schema(const char* text) { return {GrammarSpec::Kind::kJsonSchema, text, {}, {}, {}}; }

std::vector<Case> Cases() {
  return {
      {"json_object", {}},
      {"person", Schema(R"({"type":"object","properties":{"name":{"type":"string"},
         "age":{"type":"integer","minimum":0,"maximum":150},"email":{"type":"string","format":"email"},
         "tags":{"type":"array","items":{"type":"string","maxLength":20},"maxItems":5}},
         "required":["name","age"],"additionalProperties":false})")},
      {"tree", Schema(R"({"$defs":{"node":{"type":"object","properties":{"value":{"type":"number"},
         "label":{"enum":["red","green","blue"]},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},
         "required":["value","label","children"]}},"$ref":"#/$defs/node"})")},
      {"union", Schema(R"({"anyOf":[
         {"type":"object","properties":{"tool":{"const":"search"},"query":{"type":"string","minLength":1,"maxLength":200}},"required":["tool","query"]},
         {"type":"object","properties":{"tool":{"const":"send"},"to":{"type":"string","pattern":"^[a-z0-9_]{1,32}$"},"when":{"type":"string","format":"date-time"}},"required":["tool","to","when"]},
         {"type":"object","properties":{"tool":{"const":"set"},"values":{"type":"object","additionalProperties":{"type":"number"}}},"required":["tool","values"]}]})")},
      {"regex", {GrammarSpec::Kind::kRegex, "[A-Z][a-z]+( [a-z]+){3,12}[.!?]", {}, {}, {}}},
      {"choice", {GrammarSpec::Kind::kChoice, {}, {"positive", "negative", "neutral"}, {}, {}}},
  };
}

double Microseconds(int64_t ns) { return static_cast<double>(ns) * 1e-3; }

bool Has(const std::vector<uint32_t>& mask, int32_t token) {
  return (mask[token / 32] >> (token % 32) & 1) != 0;
}

// -1: none is allowed. Drawn first where many are, listed where few are.
int32_t AnyAllowed(const std::vector<uint32_t>& mask, int64_t vocab_size, TestRandom* random) {
  for (int attempt = 0; attempt < 30; ++attempt) {
    const int32_t token = static_cast<int32_t>(random->Below(static_cast<uint64_t>(vocab_size)));
    if (Has(mask, token)) return token;
  }
  std::vector<int32_t> allowed;
  for (int32_t token = 0; token < vocab_size; ++token) {
    if (mask[token / 32] == 0) {
      token |= 31;
    } else if (Has(mask, token)) {
      allowed.push_back(token);
    }
  }
  return allowed.empty() ? -1 : allowed[random->Below(allowed.size())];
}

// Random, but not endless: what closes a string or an object is preferred now and then.
int32_t Choose(const std::vector<uint32_t>& mask, const Tokenizer& tokenizer,
               const std::vector<int32_t>& closing, TestRandom* random) {
  if (random->Below(4) == 0) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      const int32_t token = closing[random->Below(closing.size())];
      if (Has(mask, token)) return token;
    }
  }
  return AnyAllowed(mask, tokenizer.vocab_size(), random);
}

// Tokens that begin with what ends a JSON value, and those that end the text.
std::vector<int32_t> ClosingTokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> closing;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string bytes = tokenizer.TokenBytes(token, false);
    const bool closes = bytes.size() <= 2 && !bytes.empty() &&
                        std::string_view("\"]}").find(bytes[0]) != std::string_view::npos;
    if (closes || tokenizer.IsEndOfGeneration(token)) closing.push_back(token);
  }
  return closing;
}

std::vector<double> Follow(ConstraintFactory* factory, const Tokenizer& tokenizer,
                           const GrammarSpec& spec) {
  std::vector<uint32_t> mask((static_cast<size_t>(tokenizer.vocab_size()) + 31) / 32);
  std::vector<double> times_us;
  const std::vector<int32_t> closing = ClosingTokens(tokenizer);
  TestRandom random(1);
  while (times_us.size() < kTokens) {
    auto constraint = factory->New(spec, ExecContext());
    if (!constraint.ok()) {
      std::printf("%s\n", constraint.status().ToString().c_str());
      return times_us;
    }
    for (int i = 0; i < kMaxAnswerTokens && !(*constraint)->finished(); ++i) {
      const int64_t begin_ns = os::ThreadCpuNs();
      const Status filled = (*constraint)->FillMask(mask);
      times_us.push_back(Microseconds(os::ThreadCpuNs() - begin_ns));
      const int32_t token = Choose(mask, tokenizer, closing, &random);
      if (!filled.ok() || token < 0) {
        std::printf("no token is allowed: %s\n", filled.ToString().c_str());
        return times_us;
      }
      if (!(*constraint)->Accept(token).ok()) return times_us;
    }
  }
  return times_us;
}

void Print(const char* what, std::vector<double> times_us) {
  if (times_us.empty()) return;
  double sum_us = 0;
  for (double time_us : times_us) sum_us += time_us;
  std::sort(times_us.begin(), times_us.end());
  std::printf("  %s mean %6.1f p50 %5.1f p99 %6.1f most %7.1f us", what,
              sum_us / static_cast<double>(times_us.size()), times_us[times_us.size() / 2],
              times_us[times_us.size() * 99 / 100], times_us.back());
}

bool Run(const char* path) {
  const auto file = GgufFile::Open(path);
  if (!file.ok()) {
    std::printf("%s\n", file.status().ToString().c_str());
    return false;
  }
  const auto tokenizer = Tokenizer::Create(**file);
  if (!tokenizer.ok()) {
    std::printf("%s\n", tokenizer.status().ToString().c_str());
    return false;
  }
  ConstraintFactory factory(**tokenizer);
  int64_t begin_ns = os::ThreadCpuNs();
  (void)factory.New({}, ExecContext());
  std::printf("%s: %lld tokens, vocabulary read in %.1f ms\n", path,
              static_cast<long long>((*tokenizer)->vocab_size()),
              Microseconds(os::ThreadCpuNs() - begin_ns) * 1e-3);
  for (const Case& c : Cases()) {
    begin_ns = os::ThreadCpuNs();
    const auto compiled = Grammar::Compile(c.spec);
    std::printf("%-12s compiled in %6.2f ms", c.name,
                Microseconds(os::ThreadCpuNs() - begin_ns) * 1e-3);
    if (!compiled.ok()) std::printf(" %s", compiled.status().ToString().c_str());
    Print("| first", Follow(&factory, **tokenizer, c.spec));
    Print("| again", Follow(&factory, **tokenizer, c.spec));
    std::printf("\n");
  }
  return true;
}

}  // namespace
}  // namespace lull::grammar

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc < 2) {
    std::printf("grammar_bench MODEL.gguf...\n");
    return 2;
  }
  for (int i = 1; i < argc; ++i) {
    if (!lull::grammar::Run(argv[i])) return 1;
  }
  return 0;
}
