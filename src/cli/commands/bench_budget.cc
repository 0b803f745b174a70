#include <cstdio>
#include <iostream>

#include "base/os/os.h"
#include "bench/budget_bench.h"
#include "bench/scorecard.h"
#include "cli/bench_flags.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class BenchBudgetCommand : public Command {
 public:
  const char* name() const override { return "budget"; }
  const char* parent() const override { return "bench"; }
  const char* help() const override {
    return "Drive a running server with endpoint-security prompts, watch it from another process, "
           "judge; exits 0 on pass, 1 on fail, 75 where nothing is proven";
  }
  void AddOptions(CLI::App& app) override {
    server_.AddTo(app);
    app.add_option("--server-cgroup", options_.server_cgroup,
                   "control group whose account of CPU time is to agree");
    AddBudgetOptions(app);
    AddLoadOptions(app);
    record_.AddTo(app);
  }

  Status Run() override {
    LULL_RETURN_IF_ERROR(ReadBudgetFlags());
    options_.server = server_.address;
    options_.chat = server_.chat;
    options_.model = server_.model;
    LULL_ASSIGN_OR_RETURN(options_.counter, tokenizer_.Counter());
    ProgressBar bar;
    const Result<BudgetBenchReport> report =
        RunBudgetBench(options_, [&](const BudgetBenchProgress& progress) {
          constexpr uint64_t kSteps = 1000;
          // The label stays the same through a phase: a new one begins a new line.
          bar.Update(progress.phase, static_cast<uint64_t>(progress.share * kSteps), kSteps, "‰");
        });
    bar.Finish();
    if (!report.ok()) return report.status();
    exit_code = ExitCodeOf(report->overall);
    const nlohmann::json record = ToJson(*report);
    LULL_RETURN_IF_ERROR(record_.Append(record, command_line));
    if (json)
      PrintJson(record);
    else
      PrintScorecard(*report, os::IsTerminal(1), std::cout);
    return Status();
  }

 private:
  void AddBudgetOptions(CLI::App& app) {
    budget_.AddTo(app, /*with_session=*/false);
    app.add_option("--cpu-p99-20ms", cpu_p99_20ms_, "the same of 20 ms windows");
    app.add_option("--cpu-used", used_, "of the allowed CPU, at least, while work waits: 95%");
    app.add_option("--cpu-idle", idle_, "share when idle (default 0.1%)");
  }
  void AddLoadOptions(CLI::App& app) {
    app.add_option("--seconds", options_.duration_s, "least length of the load (default 120)")
        ->check(CLI::Range(1.0, 86400.0));
    app.add_option("--requests", options_.requests, "least number of requests (default 400)")
        ->check(CLI::Range(0, 10'000'000));
    app.add_option("--concurrency", options_.concurrency,
                   "requests outstanding at once (default 1)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--rate", options_.arrivals_per_s, "Poisson arrivals per second instead")
        ->check(CLI::Range(0.0, 1e5));
    app.add_option("--prompt-tokens", options_.prompt_lengths,
                   "comma-separated lengths of the prompts (default 40,80,160,320,640)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--max-tokens", options_.max_tokens, "new tokens of each request (default 64)")
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--idle-seconds", options_.idle_s, "watched before the load (default 60)")
        ->check(CLI::Range(0.0, 3600.0));
    app.add_option("--distinct", options_.distinct_prompts,
                   "prompts made before they repeat (default 1000)")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--timeout", options_.request_timeout_s, "seconds a request may take (120)")
        ->check(CLI::Range(0.001, 3600.0));
    app.add_option("--seed", options_.seed, "seed of the prompts");
    tokenizer_.AddTo(app);
  }

  Status ReadBudgetFlags() {
    LULL_ASSIGN_OR_RETURN(options_.budget, budget_.Parse());
    LULL_ASSIGN_OR_RETURN(options_.p99_20ms_share, ParseShareFlag("--cpu-p99-20ms", cpu_p99_20ms_));
    LULL_ASSIGN_OR_RETURN(options_.used_share, ParseShareFlag("--cpu-used", used_));
    LULL_ASSIGN_OR_RETURN(const double idle, ParseShareFlag("--cpu-idle", idle_));
    if (idle > 0) options_.idle_limit = idle;
    return Status();
  }

  BudgetBenchOptions options_;
  ServerFlags server_;
  TokenizerFlag tokenizer_;
  RecordFlag record_;
  BudgetFlags budget_;
  std::string cpu_p99_20ms_, used_, idle_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchBudgetCommand() { return std::make_unique<BenchBudgetCommand>(); }

}  // namespace lull
