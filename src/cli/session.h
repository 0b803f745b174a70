// What the verbs that compute share: flags for threads, instruction set and budget, and opening a
// model under them.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

inline constexpr char kActivationTypeHelp[] =
    "q8_0, or q8_k: K-quants at llama.cpp's precision, faster with AMX";

struct RuntimeFlags {
  int threads = 0;
  std::string isa;
  std::string budget_file;
  std::string cpu, cpu_p99, mem_bw, ram, p95, kv_per_session;
  std::string courtesy;
  bool backstop = false;
  bool courteous = false;  // whether a CPU cap alone brings courtesy
  bool idle_priority = false;

  void AddTo(CLI::App& app);
  Result<RuntimeOptions> ToOptions() const;
};

// Runtime and model, in destruction order.
struct Session {
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<Model> model;

  static Result<Session> Open(const std::string& model, const RuntimeFlags& flags);
};

// The runtime that the flags ask for; says where it has fewer threads than asked for.
Result<std::unique_ptr<Runtime>> OpenRuntime(const RuntimeFlags& flags);
// Of a flag and what it says; "" where it was not given.
struct BudgetFlag {
  const char* flag;  // "--mem-bw"; the budget's line is the same word, mem_bw
  std::string value;
};
// The file's lines, "" for none, and the flags over them; errors name flag, or file, line and key.
Result<Budget> ParseBudgetFlags(const std::string& file, const std::vector<BudgetFlag>& flags);
// The path a MODEL argument means.
Result<std::string> ResolveModel(const std::string& model);
// Tokenizer and template alone.
Result<std::unique_ptr<Model>> OpenVocabulary(const std::string& model);

}  // namespace lull
