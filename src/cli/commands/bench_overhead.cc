#include <algorithm>
#include <cstdio>

#include "base/os/os.h"
#include "base/os/process.h"
#include "bench/json_values.h"
#include "bench/outcome.h"
#include "cli/bench_flags.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "evidence/quantiles.h"
#include "lull/decoder.h"

namespace lull {
namespace {

constexpr double kLimitPercent = 1.0;
constexpr int kMinRounds = 10;

// The same work with a governor that never has to wait and without one, in turn, in one place in
// memory.
class BenchOverheadCommand : public Command {
 public:
  const char* name() const override { return "overhead"; }
  const char* parent() const override { return "bench"; }
  const char* help() const override {
    return "What the CPU governor costs where it never has to wait: one thread under a cap of 99 %";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("--rounds", rounds_, "of each, in turn (default 60)")
        ->check(CLI::Range(1, 10'000));
    app.add_option("--prompt-tokens", prompt_tokens_, "read at once in a round (default 256)")
        ->check(CLI::Range(1, 1 << 16));
    app.add_option("--new-tokens", new_tokens_, "one by one after them (default 64)")
        ->check(CLI::Range(1, 1 << 16));
    record_.AddTo(app);
  }

  Status Run() override {
    RuntimeFlags flags;
    flags.threads = 1;
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, flags));
    const Budget free;
    Budget governed;
    LULL_RETURN_IF_ERROR(SetBudgetLine("cpu", "99%", &governed));
    const os::MachineTimes before = os::ReadMachineTimes();
    ProgressBar bar;
    for (int round = -1; round < rounds_; ++round) {  // round -1 warms up
      // Which goes first takes turns as well.
      LULL_RETURN_IF_ERROR(session.runtime->SetBudget(round % 2 == 0 ? free : governed));
      LULL_ASSIGN_OR_RETURN(const double first_s, RoundCpuS(session));
      LULL_RETURN_IF_ERROR(session.runtime->SetBudget(round % 2 == 0 ? governed : free));
      LULL_ASSIGN_OR_RETURN(const double second_s, RoundCpuS(session));
      if (round >= 0) {
        const double governed_s = round % 2 == 0 ? second_s : first_s;
        const double free_s = round % 2 == 0 ? first_s : second_s;
        costs_.push_back(100 * (governed_s / free_s - 1));
      }
      bar.Update("overhead", static_cast<uint64_t>(round + 1), static_cast<uint64_t>(rounds_),
                 "rounds");
    }
    bar.Finish();
    const os::MachineTimes after = os::ReadMachineTimes();
    return Print(StealDoubts(after.steal_ns - before.steal_ns, after.total_ns - before.total_ns));
  }

 private:
  // CPU seconds of this thread: what others do to the clock on the wall does not count.
  Result<double> RoundCpuS(Session& session) const {
    DecoderOptions options;
    options.max_context_tokens = prompt_tokens_ + new_tokens_;
    LULL_ASSIGN_OR_RETURN(const auto decoder,
                          Decoder::Create(*session.model, *session.runtime, options));
    const int64_t vocab = session.model->info().vocab_size;
    std::vector<float> logits(static_cast<size_t>(vocab));
    std::vector<BatchRow> rows;
    LULL_ASSIGN_OR_RETURN(const int32_t sequence, decoder->OpenSequence());
    uint32_t seed = 7;
    for (int64_t i = 0; i < prompt_tokens_ + new_tokens_; ++i) {
      seed = seed * 1664525u + 1013904223u;
      rows.push_back({sequence, static_cast<int32_t>(i),
                      static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(vocab))});
    }
    const std::span<const BatchRow> all(rows);
    const int32_t only[1] = {0};
    const int64_t begin = os::ProcessCpuNs();
    LULL_RETURN_IF_ERROR(
        decoder->Forward(all.first(static_cast<size_t>(prompt_tokens_)), {}, logits.data()));
    for (size_t i = static_cast<size_t>(prompt_tokens_); i < all.size(); ++i)
      LULL_RETURN_IF_ERROR(decoder->Forward(all.subspan(i, 1), only, logits.data()));
    const double cpu_s = static_cast<double>(os::ProcessCpuNs() - begin) * 1e-9;
    decoder->CloseSequence(sequence);
    return cpu_s;
  }

  Status Print(std::vector<std::string> doubts) {
    if (rounds_ < kMinRounds)
      doubts.push_back("only " + std::to_string(rounds_) + " rounds, 10 needed");
    const auto cost = EstimateQuantile(Sorted(costs_), 0.5);
    Outcome outcome;
    outcome.title = "Governor overhead  " + model_;
    outcome.record = {{"kind", "overhead_bench"},
                      {"version", 1},
                      {"model", model_},
                      {"rounds", rounds_},
                      {"prompt_tokens", prompt_tokens_},
                      {"new_tokens", new_tokens_},
                      {"cost_percent", costs_},
                      {"cost", JsonOf(cost)}};
    if (cost.has_value() && cost->low.has_value() && cost->high.has_value()) {
      char text[96];
      snprintf(text, sizeof(text), "[%.2f, %.2f] %% at 95 %%", *cost->low, *cost->high);
      outcome.figures.emplace_back("Cost, interval", text);
    }
    outcome.verdicts = {
        JudgeAtMost("governor_overhead", "%",
                    cost.has_value() ? std::optional<double>(cost->value) : std::nullopt,
                    kLimitPercent, 0, doubts)};
    Conclude(&outcome);
    return Report(outcome, record_, this);
  }

  std::string model_;
  int rounds_ = 60;
  int64_t prompt_tokens_ = 256, new_tokens_ = 64;
  RecordFlag record_;
  std::vector<double> costs_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchOverheadCommand() {
  return std::make_unique<BenchOverheadCommand>();
}

}  // namespace lull
