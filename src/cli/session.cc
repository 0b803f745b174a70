#include "cli/session.h"

#include <cstdio>

#include "cli/output.h"
#include "store/store.h"

namespace lull {

void RuntimeFlags::AddTo(CLI::App& app) {
  app.add_option("-t,--threads", threads, "compute threads (default: the CPUs it may use)")
      ->check(CLI::Range(0, 1024));
  app.add_option("--isa", isa, "scalar, avx2, avx2vnni, avx512 or amx (default: the best here)");
  app.add_option("--cpu", cpu, "mean share of the CPUs it may use, e.g. 35%");
  app.add_option("--cpu-p99", cpu_p99, "share that 99 % of 100 ms windows stay within, e.g. 50%");
  app.add_flag("--idle", idle_priority,
               "compute threads at SCHED_IDLE: everything else goes first");
}

namespace {

// ParseCpuShare with the flag's name in the error.
Result<double> ParseShareFlag(const std::string& flag, const std::string& text) {
  Result<double> share = ParseCpuShare(text);
  if (share.ok()) return share;
  Error error = share.error();
  error.where = flag;
  return error;
}

}  // namespace

Result<CpuBudget> ParseBudgetFlags(const std::string& cpu, const std::string& cpu_p99) {
  CpuBudget budget;
  LULL_ASSIGN_OR_RETURN(budget.mean_share, ParseShareFlag("--cpu", cpu));
  LULL_ASSIGN_OR_RETURN(budget.p99_share, ParseShareFlag("--cpu-p99", cpu_p99));
  if (budget.p99_share > 0 && !budget.capped())
    return Status(ErrorCode::kUsage, "--cpu-p99 without --cpu", "--cpu-p99", "add --cpu 35%");
  return budget;
}

Result<RuntimeOptions> RuntimeFlags::ToOptions() const {
  RuntimeOptions options;
  options.threads = threads;
  options.isa = isa;
  options.idle_priority = idle_priority;
  LULL_ASSIGN_OR_RETURN(options.cpu, ParseBudgetFlags(cpu, cpu_p99));
  return options;
}

Result<std::string> ResolveModel(const std::string& model) {
  return Store(ModelsFolder()).Resolve(model);
}

Result<Session> Session::Open(const std::string& model, const RuntimeFlags& flags) {
  LULL_ASSIGN_OR_RETURN(const RuntimeOptions options, flags.ToOptions());
  LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model));
  Session session;
  LULL_ASSIGN_OR_RETURN(session.runtime, Runtime::Create(options));
  if (session.runtime->threads() < options.threads)
    fprintf(stderr, "lull: %d thread%s, not %d: the control group's CPU quota keeps no more busy\n",
            session.runtime->threads(), session.runtime->threads() == 1 ? "" : "s",
            options.threads);
  LULL_ASSIGN_OR_RETURN(session.model, Model::Load(path, *session.runtime));
  const std::string& note = session.model->info().pack_note;
  if (!note.empty()) fprintf(stderr, "lull: repacking the weights: %s\n", note.c_str());
  return session;
}

Result<std::unique_ptr<Model>> OpenVocabulary(const std::string& model) {
  LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model));
  return LoadVocabularyOnly(path);
}

}  // namespace lull
