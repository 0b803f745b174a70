#include "bench/session_benches.h"

#include <algorithm>
#include <cstdio>

#include "base/os/process.h"
#include "bench/json_values.h"
#include "bench/load.h"
#include "evidence/machine.h"
#include "evidence/quantiles.h"

namespace lull {
namespace {

std::string Format(const char* format, double value) {
  char text[96];
  snprintf(text, sizeof(text), format, value);
  return text;
}

Result<std::vector<BenchPrompt>> Prompts(const ServerAddress& server, const TokenCounter& counter,
                                         uint64_t seed, int tokens, size_t count) {
  PromptOptions prompts;
  prompts.seed = seed;
  prompts.lengths = {tokens};
  prompts.count = count;
  prompts.counter = counter;
  if (!prompts.counter) {
    Result<TokenCounter> of_server = ServerTokenCounter(server);
    if (of_server.ok()) prompts.counter = *of_server;
  }
  return MakeSecurityPrompts(prompts);
}

LoadPlan LoadOf(const ServerAddress& server, const std::string& model, int max_tokens) {
  LoadPlan load;
  load.server = server;
  load.model = model;
  load.max_tokens = max_tokens;
  load.request_timeout_s = 600;
  load.max_duration_s = 3600;
  return load;
}

// Doubts and the record's frame, which both share.
class Frame {
 public:
  Frame(const char* kind, const char* title, const ServerAddress& server)
      : before_(os::ReadMachineTimes()) {
    outcome.title = std::string(title) + "  " + server.host + ":" + std::to_string(server.port);
    outcome.record = {{"kind", kind}, {"version", 1}, {"machine", ToJson(ReadMachine())}};
  }
  std::vector<std::string> Doubts(size_t rounds, size_t needed) const {
    const os::MachineTimes now = os::ReadMachineTimes();
    std::vector<std::string> doubts =
        StealDoubts(now.steal_ns - before_.steal_ns, now.total_ns - before_.total_ns);
    if (rounds < needed)
      doubts.push_back("only " + std::to_string(rounds) + " rounds, " + std::to_string(needed) +
                       " needed");
    return doubts;
  }
  Outcome outcome;

 private:
  os::MachineTimes before_;
};

// New tokens per second until the last answer of so many sessions.
Result<double> TokensPerSecond(LoadPlan load, int sessions, int answers_each,
                               const std::vector<BenchPrompt>& prompts) {
  load.concurrency = sessions;
  load.min_requests = int64_t{sessions} * answers_each;
  LULL_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(load, prompts, {}));
  int64_t tokens = 0;
  for (const Answer& answer : result.answers) {
    if (!answer.failure.empty())
      return Status(ErrorCode::kIo, answer.failure, "a session's request");
    tokens += answer.new_tokens;
  }
  if (tokens == 0)
    return Status(ErrorCode::kUnsupported, "the server counts no tokens", "usage",
                  "it must answer with usage.completion_tokens");
  return static_cast<double>(tokens) * 1e9 / static_cast<double>(result.end_ns - result.begin_ns);
}

constexpr size_t kSessionRounds = 3;
constexpr size_t kReuseRounds = 10;

}  // namespace

Result<Outcome> RunSessions(const SessionsOptions& options) {
  if (options.sessions < 2 || options.rounds < 1 || options.answers_each < 1)
    return Status(ErrorCode::kUsage, "at least two sessions, a round and an answer", "sessions");
  LULL_RETURN_IF_ERROR(FindServer(options.server).status());
  const size_t a_round = static_cast<size_t>((options.sessions + 1) * options.answers_each);
  LULL_ASSIGN_OR_RETURN(
      const std::vector<BenchPrompt> prompts,
      Prompts(options.server, options.counter, options.seed, options.prompt_tokens,
              a_round * static_cast<size_t>(options.rounds + 1)));
  const LoadPlan load = LoadOf(options.server, options.model, options.max_tokens);
  Frame frame("sessions_bench", "Sessions", options.server);
  std::vector<double> alone, together, ratios;
  size_t next = 0;
  const auto take = [&](size_t count) {
    const auto from = prompts.begin() + static_cast<int64_t>(next);
    next += count;
    return std::vector<BenchPrompt>(from, from + static_cast<int64_t>(count));
  };
  for (int round = -1; round < options.rounds; ++round) {  // round -1 warms up
    const size_t each = static_cast<size_t>(options.answers_each);
    LULL_ASSIGN_OR_RETURN(const double one,
                          TokensPerSecond(load, 1, options.answers_each, take(each)));
    LULL_ASSIGN_OR_RETURN(const double all,
                          TokensPerSecond(load, options.sessions, options.answers_each,
                                          take(each * static_cast<size_t>(options.sessions))));
    if (round < 0) continue;
    alone.push_back(one);
    together.push_back(all);
    ratios.push_back(all / one);
  }
  Outcome& outcome = frame.outcome;
  outcome.record["options"] = {{"sessions", options.sessions},
                               {"prompt_tokens", options.prompt_tokens},
                               {"max_tokens", options.max_tokens},
                               {"answers_each", options.answers_each}};
  outcome.record["tokens_per_s_alone"] = alone;
  outcome.record["tokens_per_s_together"] = together;
  outcome.record["ratio"] = JsonOf(EstimateQuantile(Sorted(ratios), 0.5));
  outcome.figures = {{"One session", Format("%.1f tokens/s", MedianOf(alone))},
                     {std::to_string(options.sessions) + " sessions",
                      Format("%.1f tokens/s", MedianOf(together))}};
  outcome.verdicts = {JudgeAtLeast("sessions_ratio", "x", MedianOf(ratios), options.at_least, 0,
                                   frame.Doubts(ratios.size(), kSessionRounds))};
  Conclude(&outcome);
  return outcome;
}

Result<Outcome> RunReuse(const ReuseOptions& options) {
  if (options.rounds < 1 || options.prefix_tokens < 1)
    return Status(ErrorCode::kUsage, "at least a round and a token", "rounds");
  LULL_RETURN_IF_ERROR(FindServer(options.server).status());
  const size_t rounds = static_cast<size_t>(options.rounds) + 1;
  LULL_ASSIGN_OR_RETURN(
      const std::vector<BenchPrompt> prefixes,
      Prompts(options.server, options.counter, options.seed, options.prefix_tokens, rounds));
  LULL_ASSIGN_OR_RETURN(
      const std::vector<BenchPrompt> questions,
      Prompts(options.server, options.counter, ~options.seed, options.question_tokens, 2 * rounds));
  const LoadPlan load = LoadOf(options.server, options.model, 1);
  Frame frame("reuse_bench", "Reuse of a prompt's beginning", options.server);
  std::vector<double> first_s, again_s, ratios;
  int64_t cached = 0;
  for (size_t i = 0; i < rounds; ++i) {
    double seconds[2];
    for (const size_t turn : {0u, 1u}) {
      const Answer answer = Ask(load, prefixes[i].text + "\n\n" + questions[2 * i + turn].text);
      if (!answer.failure.empty()) return Status(ErrorCode::kIo, answer.failure, "a request");
      seconds[turn] = static_cast<double>(answer.end_ns - answer.begin_ns) / 1e9;
      if (turn == 1) cached += answer.cached_tokens;
    }
    if (i == 0) continue;  // warms up
    first_s.push_back(seconds[0]);
    again_s.push_back(seconds[1]);
    ratios.push_back(seconds[1] / seconds[0]);
  }
  Outcome& outcome = frame.outcome;
  outcome.record["options"] = {{"prefix_tokens", options.prefix_tokens},
                               {"question_tokens", options.question_tokens}};
  outcome.record["first_token_s"] = first_s;
  outcome.record["first_token_again_s"] = again_s;
  outcome.record["cached_tokens"] = cached;
  outcome.record["ratio"] = JsonOf(EstimateQuantile(Sorted(ratios), 0.5));
  outcome.figures = {{"First token", Format("%.3f s", MedianOf(first_s))},
                     {"First token, asked again", Format("%.3f s", MedianOf(again_s))},
                     {"Tokens from the cache", std::to_string(cached)}};
  outcome.verdicts = {JudgeAtMost("reuse_ratio", "%", MedianOf(ratios) * 100, options.at_most * 100,
                                  0, frame.Doubts(ratios.size(), kReuseRounds))};
  Conclude(&outcome);
  return outcome;
}

}  // namespace lull
