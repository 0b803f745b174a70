// What the verbs that compute share: flags for threads, instruction set and budget, and opening a
// model under them.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

inline constexpr char kActivationTypeHelp[] =
    "q8_0, or q8_k: K-quants at llama.cpp's precision, faster with AMX";

struct RuntimeFlags {
  int threads = 0;
  std::string isa;
  std::string cpu;
  std::string cpu_p99;
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

// What --cpu and --cpu-p99 say; errors name the flag.
Result<CpuBudget> ParseBudgetFlags(const std::string& cpu, const std::string& cpu_p99);
// The path a MODEL argument means.
Result<std::string> ResolveModel(const std::string& model);
// Tokenizer and template alone.
Result<std::unique_ptr<Model>> OpenVocabulary(const std::string& model);

}  // namespace lull
