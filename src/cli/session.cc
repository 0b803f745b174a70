#include "cli/session.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/os/file_lock.h"
#include "cli/output.h"
#include "convert/converted_models.h"
#include "convert/hf_folder.h"
#include "convert/peft_folder.h"
#include "store/store.h"

namespace lull {

void BudgetFlags::AddTo(CLI::App& app, bool with_session) {
  // An empty value, of a variable that is not set perhaps, must not mean no budget.
  const auto add = [&app](const char* flag, std::string& value, const char* help) {
    app.add_option(flag, value, help)->check([](const std::string& given) {
      return std::string(given.empty() ? "the value is empty; leave the option out for no cap"
                                       : "");
    });
  };
  add("--budget", file, "budget as a TOML file; flags go before its lines");
  add("--cpu", cpu, "mean share of the CPUs it may use, e.g. 35%");
  add("--cpu-p99", cpu_p99, "share that 99 % of 100 ms windows stay within, e.g. 50%");
  add("--mem-bw", mem_bw, "weights and KV read from memory, e.g. 8GB/s");
  add("--ram", ram, "memory, mapped weights included, e.g. 512MiB");
  add("--p95", p95, "latency that 95 % of requests stay within, e.g. 2.5s");
  if (with_session) add("--kv-per-session", kv_per_session, "K and V of one request, e.g. 16.7MB");
}

void RuntimeFlags::AddTo(CLI::App& app) {
  app.add_option("-t,--threads", threads, "compute threads (default: the CPUs it may use)")
      ->check(CLI::Range(0, 1024));
  app.add_option("--isa", isa, "scalar, avx2, avx2vnni, avx512 or amx (default: the best here)");
  budget.AddTo(app);
  app.add_option(
         "--courtesy", courtesy,
         "on: slow down while other programs need the CPUs (default: on in serve with --cpu)")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_flag(
      "--backstop", backstop,
      "have a control group hold the CPU cap too, 15 % above it, where one may be written");
  app.add_flag("--idle", idle_priority,
               "compute threads at SCHED_IDLE: everything else goes first");
}

std::string FlagOf(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

namespace {

Result<std::string> ReadBudgetFile(const std::string& path) {
  constexpr std::streamsize kMost = 1 << 16;
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMost) + 1, '\0');
  if (!file) return Status(ErrorCode::kNotFound, "cannot open the budget", path, "see --budget");
  file.read(text.data(), kMost + 1);
  if (file.gcount() > kMost)
    return Status(ErrorCode::kUsage, "a budget of more than 64 KiB", path, "five lines will do");
  text.resize(static_cast<size_t>(file.gcount()));
  // No lines would be no cap, which nobody means who names a budget; a folder reads as nothing.
  if (file.bad() || text.find_first_not_of(" \t\r\n") == std::string::npos)
    return Status(ErrorCode::kUsage, "the budget cannot be read, or is empty", path,
                  "a line such as cpu = \"35%\"; leave --budget out for no cap");
  return text;
}

}  // namespace

Result<Budget> BudgetFlags::Parse() const {
  Budget budget;
  if (!file.empty()) {
    LULL_ASSIGN_OR_RETURN(const std::string text, ReadBudgetFile(file));
    LULL_ASSIGN_OR_RETURN(budget, ParseBudgetToml(text, file));
  }
  const std::pair<const char*, const std::string&> lines[] = {
      {"cpu", cpu}, {"cpu_p99", cpu_p99}, {"mem_bw", mem_bw},
      {"ram", ram}, {"p95", p95},         {"kv_per_session", kv_per_session}};
  for (const auto& [line, value] : lines) {
    if (value.empty()) continue;
    const Status status = SetBudgetLine(line, value, &budget);
    if (status.ok()) continue;
    Error error = status.error();
    error.where = FlagOf(line);
    return error;
  }
  if (budget.cpu.p99_share > 0 && !budget.cpu.capped())
    return Status(ErrorCode::kUsage, "--cpu-p99 without --cpu", "--cpu-p99", "add --cpu 35%");
  return budget;
}

Result<RuntimeOptions> RuntimeFlags::ToOptions() const {
  RuntimeOptions options;
  options.threads = threads;
  options.isa = isa;
  options.idle_priority = idle_priority;
  options.backstop = backstop;
  LULL_ASSIGN_OR_RETURN(options.budget, budget.Parse());
  options.courtesy = courtesy.empty() ? courteous && options.budget.cpu.capped() : courtesy == "on";
  return options;
}

namespace {

// The GGUF file of a folder of safetensors.
Result<std::string> Converted(const std::string& folder, const std::string& name) {
  ProgressBar bar;
  ConvertedModels::Watch watch;
  watch.progress = [&bar](uint64_t done, uint64_t total) {
    bar.Update("converting", done, total, "MiB");
  };
  watch.waiting = [&bar] { bar.Update("waiting for another conversion", 0, 0, "MiB"); };
  return Conversions().Get(folder, name, watch);
}

}  // namespace

ConvertedModels Conversions() {
  return ConvertedModels((std::filesystem::path(ModelsFolder()) / ".converted").string());
}

std::string ResolveFolder(const std::string& model) {
  if (IsHfFolder(model)) return model;
  const Result<std::string> path = Store(ModelsFolder()).Resolve(model);
  return path.ok() && IsHfFolder(*path) ? *path : std::string();
}

Result<std::string> ResolveModel(const std::string& model) {
  if (IsHfFolder(model)) return Converted(model, "");
  Result<std::string> resolved = Store(ModelsFolder()).Resolve(model);
  if (!resolved.ok() && IsPeftFolder(model))
    return Status(ErrorCode::kUnsupported, "the folder is an adapter of PEFT's, not a model", model,
                  "give it beside the model that it was made for: --lora FOLDER");
  LULL_ASSIGN_OR_RETURN(std::string path, std::move(resolved));
  if (IsHfFolder(path)) return Converted(path, model);
  return path;
}

Result<std::unique_ptr<Runtime>> OpenRuntime(const RuntimeFlags& flags) {
  LULL_ASSIGN_OR_RETURN(const RuntimeOptions options, flags.ToOptions());
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<Runtime> runtime, Runtime::Create(options));
  if (runtime->threads() < options.threads)
    fprintf(stderr, "lull: %d thread%s, not %d: the control group's CPU quota keeps no more busy\n",
            runtime->threads(), runtime->threads() == 1 ? "" : "s", options.threads);
  if (!runtime->backstop_note().empty())
    fprintf(stderr, "lull: %s\n", runtime->backstop_note().c_str());
  return runtime;
}

Result<Session> Session::Open(const std::string& model, const RuntimeFlags& flags) {
  LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model));
  Session session;
  LULL_ASSIGN_OR_RETURN(session.runtime, OpenRuntime(flags));
  LULL_ASSIGN_OR_RETURN(session.model, Model::Load(path, *session.runtime));
  const std::string& note = session.model->info().pack_note;
  if (!note.empty()) fprintf(stderr, "lull: repacking the weights: %s\n", note.c_str());
  return session;
}

Error NotAName(Error error, const std::string& model) {
  std::error_code ec;
  if (error.code != ErrorCode::kNotFound || !std::filesystem::exists(model, ec)) return error;
  return {ErrorCode::kNotFound, "a path, where the name of a model in the store is wanted", model,
          "`lull list` shows the names; `lull inspect` says what a file holds", 0.0};
}

Result<std::unique_ptr<Model>> OpenVocabulary(const std::string& model) {
  LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model));
  return LoadVocabularyOnly(path);
}

}  // namespace lull
