#include "cli/cli.h"

#include <cstdio>
#include <vector>

#include "cli/command.h"
#include "cli/output.h"
#include "lull/version.h"

namespace lull {
namespace {

std::vector<std::unique_ptr<Command>> MakeCommands() {
  std::vector<std::unique_ptr<Command>> commands;
#define LULL_COMMAND(Name) commands.push_back(Make##Name##Command());
#include "cli/command_list.inc"
#undef LULL_COMMAND
  return commands;
}

bool AsksForJson(int argc, char** argv) {
  for (int i = 1; i < argc && std::string(argv[i]) != "--"; ++i)
    if (std::string(argv[i]) == "--json") return true;
  return false;
}

// As it was typed, but for keys: it goes into records that others read.
std::string Join(int argc, char** argv) {
  std::string line = "lull";
  bool secret = false;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (secret) word = "***";
    secret = word == "--key" || word == "--api-key";
    for (const char* flag : {"--key=", "--api-key="})
      if (word.starts_with(flag)) word = std::string(flag) + "***";
    line += " " + word;
  }
  return line;
}

// The last catch: what a third party throws past its file becomes an error like any other.
Status RunGuarded(Command& command) {
  try {
    return command.Run();
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, "out of memory", command.name());
  } catch (const std::exception& error) {
    return Status(ErrorCode::kInternal, error.what(), command.name(), "please report this");
  }
}

// The option that a message of the parser is about; most begin with it or have it as a word.
std::string OptionIn(const std::string& message) {
  for (size_t at = message.find("--"); at != std::string::npos; at = message.find("--", at + 2)) {
    if (at > 0 && message[at - 1] != ' ') continue;
    return message.substr(at, message.find_first_of(" :=,", at) - at);
  }
  return "command line";
}

// The option or argument that sets a field of the library's structs, where one does.
struct OptionOfField {
  const char* field;
  const char* option;
};
constexpr OptionOfField kOptions[] = {
    {"prompt_tokens", "prompt"},
    {"temperature", "--temp"},
    {"top_k", "--top-k"},
    {"top_p", "--top-p"},
    {"min_p", "--min-p"},
    {"repetition_penalty", "--repeat-penalty"},
    {"frequency_penalty", "--frequency-penalty"},
    {"presence_penalty", "--presence-penalty"},
    {"logprobs", "--logprobs"},
    {"max_new_tokens", "--max-tokens"},
    {"cpu", "--cpu"},
    {"cpu_p99", "--cpu-p99"},
    {"mem_bw", "--mem-bw"},
    {"ram", "--ram"},
    {"p95", "--p95"},
    {"kv_per_session", "--kv-per-session"},
    {"threads", "--threads"},
    {"isa", "--isa"},
    {"kv_type", "--kv-type"},
    {"activation_type", "--activation-type"},
    {"max_context_tokens", "--ctx"},
    {"kv_pool_tokens", "--kv-tokens"},
    {"max_sequences", "--parallel"},
    {"max_queue", "--queue"},
    {"prefill_chunk_tokens", "--prefill-chunk"},
    {"prefix_cache_tokens", "--prefix-cache-tokens"},
};

// An error of the library in terms of the verb's options.
Error InTermsOfOptions(Error error, const CLI::App& verb) {
  for (const OptionOfField& row : kOptions)
    if (error.where == row.field && verb.get_option_no_throw(row.option) != nullptr) {
      error.where = row.option;
      break;
    }
  const bool stop = error.code == ErrorCode::kUsage && error.where.starts_with("stop");
  if (stop) error.where = "--stop";
  return error;
}

int ReportUsage(const CLI::App& app, const CLI::ParseError& error, bool json) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  std::string verb;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    verb += " " + at->get_name();
  }
  std::string message = error.what();
  const std::vector<std::string> unknown = app.remaining();
  if (verb.empty() && !unknown.empty()) message = "no such command or option: " + unknown.front();
  const Error usage{ErrorCode::kUsage, message, OptionIn(message), "see lull" + verb + " --help"};
  PrintError(usage, json);
  return ExitCode(ErrorCode::kUsage);
}

}  // namespace

int RunCli(int argc, char** argv) {
  CLI::App app(
      "Lull serves language models in the background of a busy machine, inside a declared budget.",
      "lull");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("lull ") + kVersion + ", arithmetic version " +
                                        std::to_string(kArithmeticVersion));
  std::vector<std::unique_ptr<Command>> commands = MakeCommands();
  std::vector<CLI::App*> verbs;
  for (const auto& command : commands) {
    CLI::App* above = command->parent() == nullptr ? &app : app.get_subcommand(command->parent());
    CLI::App* verb = above->add_subcommand(command->name(), command->help());
    verb->add_flag("--json", command->json, "one JSON object on stdout");
    command->AddOptions(*verb);
    verbs.push_back(verb);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportUsage(app, error, AsksForJson(argc, argv));
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!verbs[i]->parsed() || !verbs[i]->get_subcommands().empty()) continue;
    commands[i]->command_line = Join(argc, argv);
    Status status = RunGuarded(*commands[i]);
    if (status.ok()) status = FlushStdout();
    if (status.ok()) return commands[i]->exit_code;
    PrintError(InTermsOfOptions(status.error(), *verbs[i]), commands[i]->json);
    return ExitCode(status.code());
  }
  return ExitCode(ErrorCode::kUsage);
}

}  // namespace lull
