// The benches that drive a running server with many clients: stress, sessions, reuse, foreground,
// change. Each reads its options, runs, records and prints; they differ in little else.
#include "bench/change_bench.h"
#include "bench/foreground_bench.h"
#include "bench/session_benches.h"
#include "bench/stress_bench.h"
#include "cli/bench_flags.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class OutcomeCommand : public Command {
 public:
  const char* parent() const override { return "bench"; }
  void AddOptions(CLI::App& app) override {
    server_.AddTo(app);
    record_.AddTo(app);
    AddOwnOptions(app);
  }
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const Outcome outcome, Measure());
    bar_.Finish();
    return Report(outcome, record_, this);
  }

 protected:
  virtual void AddOwnOptions(CLI::App& app) = 0;
  virtual Result<Outcome> Measure() = 0;

  // Where every bench finds its server.
  template <typename Options>
  void SetServer(Options* options) const {
    options->server = server_.address;
    options->model = server_.model;
  }

  ServerFlags server_;
  ProgressBar bar_;

 private:
  RecordFlag record_;
};

class BenchStressCommand : public OutcomeCommand {
 public:
  const char* name() const override { return "stress"; }
  const char* help() const override {
    return "Ask a running server with ever more clients: speed, errors, wrong answers, the knee";
  }

 protected:
  void AddOwnOptions(CLI::App& app) override {
    app.add_option("--workers", options_.workers,
                   "comma-separated clients of each level (default 1,10,50,100,256,1000)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 10'000));
    app.add_option("--completions", options_.completions, "answers that end a level (default 200)")
        ->check(CLI::Range(1, 1'000'000));
    app.add_option("--level-seconds", options_.level_s,
                   "a level that takes longer proves nothing (default 300)")
        ->check(CLI::Range(1.0, 86400.0));
    app.add_option("--max-tokens", options_.max_tokens, "new tokens of each request (default 64)")
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--prompt-tokens", options_.prompt_lengths,
                   "comma-separated lengths of the prompts (default 40,80,160,320,640)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--checks", options_.checks,
                   "answers of a level that are asked for again alone (default 16)")
        ->check(CLI::Range(0, 10'000));
    app.add_option("--seed", options_.seed, "seed of the prompts");
    tokenizer_.AddTo(app);
  }
  Result<Outcome> Measure() override {
    SetServer(&options_);
    options_.chat = server_.chat;
    LULL_ASSIGN_OR_RETURN(options_.counter, tokenizer_.Counter());
    options_.progress = [this](int workers, int64_t completed, double) {
      bar_.Update(std::to_string(workers) + " workers", static_cast<uint64_t>(completed),
                  static_cast<uint64_t>(options_.completions), "answers");
    };
    return RunStress(options_);
  }

 private:
  StressOptions options_;
  TokenizerFlag tokenizer_;
};

class BenchSessionsCommand : public OutcomeCommand {
 public:
  const char* name() const override { return "sessions"; }
  const char* help() const override {
    return "Tokens per second of several sessions at once against those of one";
  }

 protected:
  void AddOwnOptions(CLI::App& app) override {
    app.add_option("--sessions", options_.sessions, "sessions at once (default 8)")
        ->check(CLI::Range(2, 1024));
    app.add_option("--rounds", options_.rounds, "rounds of one and all (default 5)")
        ->check(CLI::Range(1, 1000));
    app.add_option("--max-tokens", options_.max_tokens, "new tokens an answer (default 128)")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--at-least", options_.at_least, "times the tokens of one (default 6)");
    tokenizer_.AddTo(app);
  }
  Result<Outcome> Measure() override {
    SetServer(&options_);
    LULL_ASSIGN_OR_RETURN(options_.counter, tokenizer_.Counter());
    return RunSessions(options_);
  }

 private:
  SessionsOptions options_;
  TokenizerFlag tokenizer_;
};

class BenchReuseCommand : public OutcomeCommand {
 public:
  const char* name() const override { return "reuse"; }
  const char* help() const override {
    return "Time to the first token of a prompt whose beginning was asked before";
  }

 protected:
  void AddOwnOptions(CLI::App& app) override {
    app.add_option("--prefix-tokens", options_.prefix_tokens, "the beginning (default 500)")
        ->check(CLI::Range(64, 1 << 20));
    app.add_option("--rounds", options_.rounds, "beginnings, each asked twice (default 20)")
        ->check(CLI::Range(1, 1000));
    tokenizer_.AddTo(app);
  }
  Result<Outcome> Measure() override {
    SetServer(&options_);
    LULL_ASSIGN_OR_RETURN(options_.counter, tokenizer_.Counter());
    return RunReuse(options_);
  }

 private:
  ReuseOptions options_;
  TokenizerFlag tokenizer_;
};

class BenchForegroundCommand : public OutcomeCommand {
 public:
  const char* name() const override { return "foreground"; }
  const char* help() const override {
    return "What copies, reads and a job beside a running server lose while it decodes";
  }

 protected:
  void AddOwnOptions(CLI::App& app) override {
    app.add_option("--pairs", options_.pairs, "A/B/A pairs (default 10)")
        ->check(CLI::Range(1, 1000));
    app.add_option("--seconds", options_.seconds, "of a copy or a chase (default 1)")
        ->check(CLI::Range(0.05, 600.0));
    app.add_option("--clients", options_.clients, "that keep the server decoding (default 1)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--max-tokens", options_.max_tokens, "new tokens a request (default 256)")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--settle", options_.settle_s,
                   "seconds from a request to decoding under way (default 1.5)")
        ->check(CLI::Range(0.0, 600.0));
    app.add_option("--buffer-mib", buffer_mib_, "MiB of each buffer (default 256)")
        ->check(CLI::Range(1, 16384));
    app.add_option("--job", options_.job,
                   "command to time, e.g. a compiler run (default: sorting and hashing text)");
  }
  Result<Outcome> Measure() override {
    SetServer(&options_);
    options_.buffer_bytes = buffer_mib_ << 20;
    options_.progress = [this](int pair) {
      bar_.Update("foreground", static_cast<uint64_t>(pair), static_cast<uint64_t>(options_.pairs),
                  "pairs");
    };
    return RunForeground(options_);
  }

 private:
  ForegroundOptions options_;
  size_t buffer_mib_ = 256;
};

class BenchChangeCommand : public OutcomeCommand {
 public:
  const char* name() const override { return "change"; }
  const char* help() const override {
    return "Change the budget of a running server at work: how soon does the new one hold?";
  }

 protected:
  void AddOwnOptions(CLI::App& app) override {
    app.add_option("--from", from_, "mean share before and after (default 35%)");
    app.add_option("--from-p99", from_p99_, "its p99 (default 50%)");
    app.add_option("--to", to_, "mean share to change to (default 10%)");
    app.add_option("--to-p99", to_p99_, "its p99 (default 25%)");
    app.add_option("--changes", options_.changes, "there and back (default 10)")
        ->check(CLI::Range(1, 1000));
    app.add_option("--clients", options_.clients, "that keep the server at work (default 2)")
        ->check(CLI::Range(1, 1024));
  }
  Result<Outcome> Measure() override {
    SetServer(&options_);
    LULL_ASSIGN_OR_RETURN(options_.from.mean_share, ParseShareFlag("--from", from_));
    LULL_ASSIGN_OR_RETURN(options_.from.p99_share, ParseShareFlag("--from-p99", from_p99_));
    LULL_ASSIGN_OR_RETURN(options_.to.mean_share, ParseShareFlag("--to", to_));
    LULL_ASSIGN_OR_RETURN(options_.to.p99_share, ParseShareFlag("--to-p99", to_p99_));
    options_.progress = [this](int change) {
      bar_.Update("change", static_cast<uint64_t>(change), static_cast<uint64_t>(options_.changes),
                  "changes");
    };
    return RunChange(options_);
  }

 private:
  ChangeOptions options_;
  std::string from_ = "35%", from_p99_ = "50%", to_ = "10%", to_p99_ = "25%";
};

}  // namespace

std::unique_ptr<Command> MakeBenchStressCommand() { return std::make_unique<BenchStressCommand>(); }
std::unique_ptr<Command> MakeBenchSessionsCommand() {
  return std::make_unique<BenchSessionsCommand>();
}
std::unique_ptr<Command> MakeBenchReuseCommand() { return std::make_unique<BenchReuseCommand>(); }
std::unique_ptr<Command> MakeBenchForegroundCommand() {
  return std::make_unique<BenchForegroundCommand>();
}
std::unique_ptr<Command> MakeBenchChangeCommand() { return std::make_unique<BenchChangeCommand>(); }

}  // namespace lull
