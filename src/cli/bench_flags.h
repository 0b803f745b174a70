// What the verbs that measure a running server share: where it is, how tokens are counted, where
// the run is recorded, the exit code of a verdict.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/outcome.h"
#include "bench/prompts.h"
#include "bench/server_info.h"
#include "cli/command.h"
#include "evidence/verdict.h"
#include "lull/status.h"

namespace lull {

struct ServerFlags {
  ServerAddress address;
  bool chat = false;
  std::string model = "lull";

  void AddTo(CLI::App& app);
};

struct TokenizerFlag {
  std::string model;

  void AddTo(CLI::App& app);
  // Empty where no model is named.
  Result<TokenCounter> Counter() const;
};

struct RecordFlag {
  std::string path;

  void AddTo(CLI::App& app);
  // Nothing where no file is named.
  Status Append(const nlohmann::json& record, const std::string& command_line) const;
};

// Where the key that signs records lies; made on first use.
std::string EvidenceKeyPath();

// 0 pass, 1 fail, 75 unproven: try again.
int ExitCodeOf(Verdict verdict);

// The end of a bench: sets the command's exit code, appends the record and prints the outcome.
Status Report(const Outcome& outcome, const RecordFlag& record, Command* command);

// "35%" or "0.35"; 0 for an empty text.
Result<double> ParseShareFlag(const char* flag, const std::string& text);

}  // namespace lull
