#include "bench/change_bench.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/os/os.h"
#include "bench/closed_loop.h"
#include "bench/http_client.h"
#include "bench/json_values.h"
#include "bench/window_shares.h"
#include "evidence/machine.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kWindowNs = 100 * kMs;
constexpr int64_t kStepNs = 10 * kMs;
constexpr double kTolerance = 0.005;
constexpr int kMinChanges = 10;
constexpr double kAtWork = 0.8;  // of the first budget's mean

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

std::string Percent(double share) {
  char text[32];
  snprintf(text, sizeof(text), "%.6g%%", share * 100);
  return text;
}

class Change {
 public:
  Change(const ChangeOptions& options, int pid, int cpus)
      : options_(options), pid_(pid), cpus_(cpus) {}

  Result<Outcome> Run(const std::vector<BenchPrompt>& prompts) {
    LoadPlan load;
    load.server = options_.server;
    load.model = options_.model;
    load.concurrency = options_.clients;
    load.request_timeout_s = 3600;
    os::SamplerOptions sampling;
    sampling.period_ns = kStepNs;
    sampling.max_samples =
        static_cast<size_t>((options_.settle_s * 2 + 60) * (options_.changes + 1) * 100);
    const os::MachineTimes before = os::ReadMachineTimes();
    LULL_RETURN_IF_ERROR(Set(options_.from).status());
    LULL_ASSIGN_OR_RETURN(const auto sampler, os::CpuSampler::Start(pid_, sampling));
    LULL_ASSIGN_OR_RETURN(const auto loop, ClosedLoop::Start(load, prompts, 0));
    os::SleepUntilNs(os::MonotonicNs() + Ns(options_.settle_s));
    for (int i = 0; i < options_.changes; ++i) {
      if (options_.progress) options_.progress(i);
      LULL_RETURN_IF_ERROR(ChangeOnce());
    }
    loop->Stop();
    sampler->Stop();
    const os::MachineTimes after = os::ReadMachineTimes();
    if (loop->failed() > 0)
      return Status(ErrorCode::kIo, "the server failed under the load", "bench change");
    return Concluded(sampler->samples(), StealDoubts(after.steal_ns - before.steal_ns,
                                                     after.total_ns - before.total_ns));
  }

 private:
  // Returns when the server had answered.
  Result<int64_t> Set(const CpuBudget& budget) const {
    HttpCall call;
    call.method = "PUT";
    call.host = options_.server.host;
    call.port = options_.server.port;
    call.path = "/budget";
    call.key = options_.server.key;
    call.body = nlohmann::json(
                    {{"cpu", Percent(budget.mean_share)}, {"cpu_p99", Percent(budget.p99_share)}})
                    .dump();
    LULL_ASSIGN_OR_RETURN(const HttpReply reply, HttpSend(call));
    if (reply.status == 200) return os::MonotonicNs();
    return Status(ErrorCode::kUnsupported,
                  "the server does not change its budget: HTTP " + std::to_string(reply.status) +
                      ": " + reply.body.substr(0, 200),
                  "PUT /budget", "give an admin's key: --key");
  }

  Status ChangeOnce() {
    const int64_t begin = os::MonotonicNs();
    LULL_ASSIGN_OR_RETURN(const int64_t changed, Set(options_.to));
    os::SleepUntilNs(changed + Ns(options_.settle_s));
    const int64_t end = os::MonotonicNs();
    stretches_.push_back({begin, end});
    LULL_ASSIGN_OR_RETURN(const int64_t back, Set(options_.from));
    os::SleepUntilNs(back + Ns(options_.settle_s));
    return Status::Ok();
  }

  Outcome Concluded(const std::vector<os::CpuSample>& samples, std::vector<std::string> doubts) {
    Outcome outcome;
    outcome.title = "Budget changed at work  " + options_.server.host + ":" +
                    std::to_string(options_.server.port);
    outcome.record = {{"kind", "change_bench"},
                      {"version", 1},
                      {"machine", ToJson(ReadMachine())},
                      {"options",
                       {{"from", options_.from.mean_share},
                        {"to", options_.to.mean_share},
                        {"clients", options_.clients},
                        {"changes", options_.changes}}},
                      {"holds_after_s", nlohmann::json::array()},
                      {"share_before", nlohmann::json::array()}};
    if (options_.changes < kMinChanges)
      doubts.push_back("only " + std::to_string(options_.changes) + " changes, 10 needed");
    double worst = 0.0;
    int idle = 0;
    for (const Stretch& stretch : stretches_) {
      const auto hold = HoldsAfterS(samples, stretch.begin_ns, stretch.end_ns, cpus_, options_.to);
      const auto share = MeanShare(samples, stretch.begin_ns - Ns(1.0), stretch.begin_ns, cpus_);
      outcome.record["holds_after_s"].push_back(JsonOf(hold));
      outcome.record["share_before"].push_back(JsonOf(share));
      idle += share.value_or(0) < kAtWork * options_.from.mean_share;
      // Never within the stretch is later than all of it.
      const double after_s = hold.value_or(options_.settle_s);
      worst = std::max(worst, after_s);
    }
    if (idle > 0)
      doubts.push_back(std::to_string(idle) + " changes without enough work before them");
    outcome.verdicts = {
        JudgeAtMost("holds_after", "ms", worst * 1000, options_.at_most_s * 1000, 0, doubts)};
    Conclude(&outcome);
    return outcome;
  }

  struct Stretch {
    int64_t begin_ns, end_ns;  // from when the change was sent
  };

  const ChangeOptions& options_;
  const int pid_, cpus_;
  std::vector<Stretch> stretches_;
};

}  // namespace

std::optional<double> HoldsAfterS(std::span<const os::CpuSample> samples, int64_t change_ns,
                                  int64_t end_ns, int cpus, const CpuBudget& budget) {
  for (int64_t from = change_ns; from + 10 * kWindowNs <= end_ns; from += kStepNs) {
    const std::vector<double> shares = WindowShares(samples, from, end_ns, kWindowNs, cpus);
    const std::optional<double> mean = MeanShare(samples, from, end_ns, cpus);
    if (shares.empty() || !mean.has_value()) return std::nullopt;
    const bool holds = *mean <= budget.mean_share + kTolerance &&
                       *std::max_element(shares.begin(), shares.end()) <= budget.p99_share;
    if (holds) return static_cast<double>(from + kStepNs - change_ns) / 1e9;
  }
  return std::nullopt;
}

Result<Outcome> RunChange(const ChangeOptions& options) {
  if (options.changes < 1 || options.clients < 1 || !(options.settle_s >= 1.5) ||
      !options.from.capped() || !options.to.capped())
    return Status(ErrorCode::kUsage, "two caps, a change, a client and 1.5 s are needed", "change");
  LULL_ASSIGN_OR_RETURN(const int pid, FindServer(options.server));
  LULL_ASSIGN_OR_RETURN(const int cpus, os::CpusOf(pid));
  PromptOptions prompts;
  prompts.seed = options.seed;
  prompts.count = 2000;
  LULL_ASSIGN_OR_RETURN(const std::vector<BenchPrompt> made, MakeSecurityPrompts(prompts));
  return Change(options, pid, cpus).Run(made);
}

}  // namespace lull
