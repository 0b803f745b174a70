// What the verbs that measure a running server share: where it is, how tokens are counted, where
// the run is recorded, the exit code of a verdict.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "bench/prompts.h"
#include "bench/server_info.h"
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

// 0 pass, 1 fail, 75 unproven: try again.
int ExitCodeOf(Verdict verdict);

struct Unit {
  const char* name;
  double value;
};
inline constexpr Unit kSecondUnits[] = {{"ms", 1e-3}, {"s", 1}, {"", 1}};
inline constexpr Unit kByteUnits[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
                                      {"GB", 1e9},      {"MB", 1e6},      {"kB", 1e3},
                                      {"B", 1},         {"", 1}};
inline constexpr Unit kRateUnits[] = {{"GB/s", 1e9}, {"MB/s", 1e6}, {"B/s", 1}, {"", 1}};

// A positive number with a unit; 0 for an empty text. Errors name the flag.
Result<double> ParseQuantity(const char* flag, const std::string& text,
                             std::span<const Unit> units);
// "35%" or "0.35"; 0 for an empty text.
Result<double> ParseShareFlag(const char* flag, const std::string& text);

}  // namespace lull
