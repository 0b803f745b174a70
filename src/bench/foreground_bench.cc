#include "bench/foreground_bench.h"

#include <cmath>
#include <cstdio>
#include <memory>

#include "base/os/os.h"
#include "base/os/process.h"
#include "bench/closed_loop.h"
#include "bench/json_values.h"
#include "bench/neighbour.h"
#include "evidence/machine.h"
#include "evidence/quantiles.h"

namespace lull {
namespace {

constexpr double kIdleTimeoutS = 60;
constexpr size_t kMinPairs = 10;
constexpr double kMaxDrift = 0.10;

struct Figures {
  double copy_bytes_per_s = 0, chase_p99_ns = 0, job_s = 0;
};

// One task over all pairs.
struct Task {
  const char* name;
  double Figures::*value;
  bool more_is_better;
  std::vector<double> loss;  // 0.1: a tenth worse with the server at work
  size_t drifted = 0;        // pairs whose two A are more than a tenth apart
};

class Foreground {
 public:
  Foreground(const ForegroundOptions& options, int pid, Neighbour neighbour,
             std::vector<BenchPrompt> prompts)
      : options_(options),
        pid_(pid),
        neighbour_(std::move(neighbour)),
        prompts_(std::move(prompts)) {
    load_.server = options.server;
    load_.model = options.model;
    load_.max_tokens = options.max_tokens;
    load_.concurrency = options.clients;
    load_.request_timeout_s = 3600;
  }

  Result<Outcome> Run() {
    const os::MachineTimes before = os::ReadMachineTimes();
    LULL_ASSIGN_OR_RETURN(Figures quiet, Measure());  // warms up
    LULL_ASSIGN_OR_RETURN(quiet, Measure());
    for (int pair = 0; pair < options_.pairs; ++pair) {
      if (options_.progress) options_.progress(pair);
      LULL_ASSIGN_OR_RETURN(const Figures at_work, MeasureAtWork());
      LULL_ASSIGN_OR_RETURN(const Figures quiet_after, Measure());
      Add(quiet, at_work, quiet_after);
      quiet = quiet_after;
    }
    const os::MachineTimes after = os::ReadMachineTimes();
    return Concluded(
        StealDoubts(after.steal_ns - before.steal_ns, after.total_ns - before.total_ns));
  }

 private:
  Result<Figures> Measure() {
    Figures figures;
    figures.copy_bytes_per_s = neighbour_.CopyBytesPerS(options_.seconds);
    figures.chase_p99_ns = neighbour_.ChaseP99Ns(options_.seconds);
    LULL_ASSIGN_OR_RETURN(figures.job_s, neighbour_.JobSeconds());
    return figures;
  }

  Result<Figures> MeasureAtWork() {
    LULL_ASSIGN_OR_RETURN(const auto loop, ClosedLoop::Start(load_, prompts_, next_prompt_));
    os::SleepUntilNs(os::MonotonicNs() + static_cast<int64_t>(options_.settle_s * 1e9));
    const Result<int64_t> cpu_before = os::ProcessCpuNsOf(pid_);
    const int64_t begin = os::MonotonicNs();
    LULL_ASSIGN_OR_RETURN(const Figures figures, Measure());
    const Result<int64_t> cpu_after = os::ProcessCpuNsOf(pid_);
    if (cpu_before.ok() && cpu_after.ok())
      server_cpus_.push_back(static_cast<double>(*cpu_after - *cpu_before) /
                             static_cast<double>(os::MonotonicNs() - begin));
    loop->Stop();
    next_prompt_ = loop->next_prompt();
    if (loop->failed() > 0)
      return Status(ErrorCode::kIo, "the server failed under the load", "bench foreground");
    if (!WaitUntilIdle(pid_, kIdleTimeoutS))
      return Status(ErrorCode::kBusy, "the server works on although nobody asks",
                    "bench foreground");
    return figures;
  }

  void Add(const Figures& before, const Figures& at_work, const Figures& after) {
    for (Task& task : tasks_) {
      const double a = before.*task.value, b = at_work.*task.value, c = after.*task.value;
      const double quiet = (a + c) / 2;
      task.loss.push_back(task.more_is_better ? 1 - b / quiet : b / quiet - 1);
      task.drifted += std::abs(a - c) > kMaxDrift * quiet;
    }
  }

  Outcome Concluded(std::vector<std::string> doubts) const {
    Outcome outcome;
    outcome.title =
        "Foreground beside " + options_.server.host + ":" + std::to_string(options_.server.port);
    outcome.record = {{"kind", "foreground_bench"},
                      {"version", 1},
                      {"machine", ToJson(ReadMachine())},
                      {"options",
                       {{"pairs", options_.pairs},
                        {"clients", options_.clients},
                        {"max_tokens", options_.max_tokens},
                        {"settle_s", options_.settle_s},
                        {"buffer_bytes", options_.buffer_bytes},
                        {"job", options_.job}}},
                      {"server_cpus", MedianOf(server_cpus_)}};
    if (static_cast<size_t>(options_.pairs) < kMinPairs)
      doubts.push_back("only " + std::to_string(options_.pairs) + " pairs, 10 needed");
    if (MedianOf(server_cpus_) < 0.02) doubts.push_back("the server did next to nothing");
    for (const Task& task : tasks_) {
      std::vector<std::string> of_task = doubts;
      if (2 * task.drifted > task.loss.size())
        of_task.push_back(std::to_string(task.drifted) + " pairs disturbed by others");
      outcome.verdicts.push_back(JudgeAtMost(std::string(task.name) + "_worse", "%",
                                             100 * MedianOf(task.loss), 100 * options_.at_most, 0,
                                             of_task));
      outcome.record[task.name] = {{"loss", task.loss},
                                   {"median", JsonOf(EstimateQuantile(Sorted(task.loss), 0.5))},
                                   {"drifted", task.drifted}};
    }
    char text[64];
    snprintf(text, sizeof(text), "%.2f while at work", MedianOf(server_cpus_));
    outcome.figures.emplace_back("CPUs of the server", text);
    Conclude(&outcome);
    return outcome;
  }

  const ForegroundOptions& options_;
  const int pid_;
  Neighbour neighbour_;
  const std::vector<BenchPrompt> prompts_;
  LoadPlan load_;
  size_t next_prompt_ = 0;
  std::vector<double> server_cpus_;
  Task tasks_[3] = {{"copy", &Figures::copy_bytes_per_s, true, {}, 0},
                    {"chase_p99", &Figures::chase_p99_ns, false, {}, 0},
                    {"job", &Figures::job_s, false, {}, 0}};
};

}  // namespace

Result<Outcome> RunForeground(const ForegroundOptions& options) {
  if (options.pairs < 1 || options.clients < 1 || !(options.seconds > 0) ||
      !(options.settle_s >= 0))
    return Status(ErrorCode::kUsage, "at least a pair, a client and some time", "pairs");
  LULL_ASSIGN_OR_RETURN(const int pid, FindServer(options.server));
  PromptOptions prompts;
  prompts.seed = options.seed;
  prompts.lengths = {40};
  prompts.count = 1000;
  LULL_ASSIGN_OR_RETURN(std::vector<BenchPrompt> made, MakeSecurityPrompts(prompts));
  LULL_ASSIGN_OR_RETURN(Neighbour neighbour, Neighbour::Create(options.buffer_bytes, options.job));
  return Foreground(options, pid, std::move(neighbour), std::move(made)).Run();
}

}  // namespace lull
