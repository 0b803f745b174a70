#include <cstdio>
#include <iostream>

#include "base/os/os.h"
#include "bench/budget_bench.h"
#include "bench/scorecard.h"
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
           "judge";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("--port", options_.port, "port of the server")
        ->required()
        ->check(CLI::Range(1, 65535));
    app.add_option("--host", options_.host, "address of the server (default 127.0.0.1)");
    app.add_option("--pid", options_.server_pid, "process to watch (default: as the server says)")
        ->check(CLI::Range(1, 1 << 22));
    app.add_option("--cpu", cpu_, "mean share to be kept, e.g. 35%");
    app.add_option("--cpu-p99", cpu_p99_, "share that 99 % of 100 ms windows must keep, e.g. 50%");
    app.add_option("--seconds", options_.duration_s, "length of the load (default 60)")
        ->check(CLI::Range(1.0, 86400.0));
    app.add_option("--requests", options_.requests, "go on for at least so many requests")
        ->check(CLI::Range(0, 10'000'000));
    app.add_option("--concurrency", options_.concurrency,
                   "requests outstanding at once (default 1)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--rate", options_.arrivals_per_s, "Poisson arrivals per second instead")
        ->check(CLI::Range(0.0, 1e5));
    app.add_option("--max-tokens", options_.max_tokens, "new tokens of each request (default 64)")
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--idle-seconds", options_.idle_s, "watched before the load (default 5)")
        ->check(CLI::Range(0.0, 3600.0));
    app.add_option("--seed", options_.seed, "seed of the prompts");
    app.add_flag("--raw", raw_, "use /v1/completions instead of /v1/chat/completions");
    app.add_option("--record", options_.record_path,
                   "append the run as one JSON line to this file");
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(options_.cpu, ParseBudgetFlags(cpu_, cpu_p99_));
    options_.chat = !raw_;
    ProgressBar bar;
    const Result<BudgetBenchReport> report =
        RunBudgetBench(options_, [&](const BudgetBenchProgress& progress) {
          constexpr uint64_t kSteps = 1000;
          // The label stays the same through a phase: a new one begins a new line.
          bar.Update(progress.phase, static_cast<uint64_t>(progress.share * kSteps), kSteps, "‰");
        });
    bar.Finish();
    if (!report.ok()) return report.status();
    if (json)
      PrintJson(ToJson(*report));
    else
      PrintScorecard(*report, os::IsTerminal(1), std::cout);
    return Status();
  }

 private:
  BudgetBenchOptions options_;
  std::string cpu_, cpu_p99_;
  bool raw_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeBenchBudgetCommand() { return std::make_unique<BenchBudgetCommand>(); }

}  // namespace lull
