// What the verbs that compute share: flags for threads, instruction set and budget, and opening a
// model under them.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "convert/converted_models.h"
#include "lull/adapter.h"
#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

inline constexpr char kActivationTypeHelp[] =
    "q8_0, or q8_k: K-quants at llama.cpp's precision, faster with AMX";

// The flag that sets what a library calls so: "--mem-bw" of "mem_bw".
std::string FlagOf(std::string name);

// A budget as flags and as a TOML file: --budget, --cpu, ...; each "" where it was not given.
struct BudgetFlags {
  std::string file;
  std::string cpu, cpu_p99, mem_bw, ram, p95, kv_per_session;

  // with_session: --kv-per-session too, which nobody can judge from outside.
  void AddTo(CLI::App& app, bool with_session = true);
  // The file's lines and the flags over them; errors name flag, or file, line and key.
  Result<Budget> Parse() const;
};

struct RuntimeFlags {
  int threads = 0;
  std::string isa;
  BudgetFlags budget;
  std::string courtesy;
  bool backstop = false;
  bool courteous = false;  // whether a CPU cap alone brings courtesy
  bool idle_priority = false;

  void AddTo(CLI::App& app);
  Result<RuntimeOptions> ToOptions() const;
};

// Runtime, model and what was loaded for it: the last goes first. Nothing may outlive it.
struct Session {
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<Model> model;
  std::vector<AdapterUse> adapters;

  static Result<Session> Open(const std::string& model, const RuntimeFlags& flags);
};

// The runtime that the flags ask for; says where it has fewer threads than asked for.
Result<std::unique_ptr<Runtime>> OpenRuntime(const RuntimeFlags& flags);
// What folders of safetensors became.
ConvertedModels Conversions();
// The folder of safetensors a MODEL argument means, by path or by name; "" where it means none.
std::string ResolveFolder(const std::string& model);
// The path a MODEL argument means; of a folder of safetensors what it is converted to.
Result<std::string> ResolveModel(const std::string& model);
// An error of the store about a name, which says so where a path was given instead of one.
Error NotAName(Error error, const std::string& model);
// Tokenizer and template alone.
Result<std::unique_ptr<Model>> OpenVocabulary(const std::string& model);

}  // namespace lull
