// One verb of the command line. Adding one: commands/<name>.cc and a line in command_list.inc.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lull/status.h"

namespace lull {

class Command {
 public:
  virtual ~Command() = default;
  virtual const char* name() const = 0;
  virtual const char* help() const = 0;
  // The verb this one stands under ("bench" for "bench budget"), listed before it; null: none.
  virtual const char* parent() const { return nullptr; }
  virtual void AddOptions(CLI::App& app) = 0;
  // Data goes to stdout, talk to stderr; an error is printed by the caller.
  virtual Status Run() = 0;

  bool json = false;  // --json, offered by every verb
  // Of the process where Run() gave no error: a verb that judges says its verdict by it.
  int exit_code = 0;
  std::string command_line;  // as it was typed, for records
};

#define LULL_COMMAND(Name) std::unique_ptr<Command> Make##Name##Command();
#include "cli/command_list.inc"
#undef LULL_COMMAND

}  // namespace lull
