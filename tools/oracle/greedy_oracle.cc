// Greedy continuations by llama.cpp:
//   greedy_oracle MODEL TOKENS_FILE [--new N] [--threads N] > continuations
// TOKENS_FILE has one prompt a line, as token ids after a number that is not read (the form of
// logits_oracle --lines). Prints per prompt a line of N fields ID:GAP, GAP being by how many nats
// the chosen token leads the second. End-of-generation tokens are tokens like others. Runs with
// llama.cpp's default settings.
#include "session.h"

namespace {

struct TopTwo {
  llama_token best = 0;
  float gap = 0;
};

// Ties go to the lowest id. The gap of two logits is that of their log-probabilities.
TopTwo FindTopTwo(const float* logits, size_t vocab) {
  size_t best = logits[1] > logits[0] ? 1 : 0, second = 1 - best;
  for (size_t id = 2; id < vocab; ++id) {
    if (logits[id] > logits[best]) {
      second = best;
      best = id;
    } else if (logits[id] > logits[second]) {
      second = id;
    }
  }
  return {static_cast<llama_token>(best), logits[best] - logits[second]};
}

bool Continue(oracle::Session& session, std::vector<llama_token> tokens, int new_tokens) {
  session.Forget();
  if (!session.Feed(tokens, 0, tokens.size(), tokens.size() - 1)) return false;
  for (int i = 0; i < new_tokens; ++i) {
    const TopTwo top = FindTopTwo(llama_get_logits_ith(session.context, -1), session.vocab);
    printf("%s%d:%.6f", i == 0 ? "" : " ", top.best, static_cast<double>(top.gap));
    tokens.push_back(top.best);
    const size_t last = tokens.size() - 1;
    if (i + 1 < new_tokens && !session.Feed(tokens, last, tokens.size(), last)) return false;
  }
  printf("\n");
  fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  oracle::Options options;
  options.mode = oracle::Mode::kDefaults;
  if (argc < 3 || !options.Parse(argc, argv, 3)) {
    fprintf(stderr, "usage: greedy_oracle MODEL TOKENS_FILE [--new N] [--threads N]\n");
    return 2;
  }
  const std::vector<oracle::Sequence> prompts = oracle::ReadSequences(argv[2], true);
  if (prompts.empty()) return 2;
  oracle::Session session;
  const size_t room = oracle::LongestOf(prompts) + static_cast<size_t>(options.new_tokens);
  if (!session.Open(argv[1], options.mode, room, options.threads)) return 3;
  for (const oracle::Sequence& prompt : prompts)
    if (!Continue(session, prompt.tokens, options.new_tokens)) return 3;
  return 0;
}
