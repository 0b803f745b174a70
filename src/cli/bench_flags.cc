#include "cli/bench_flags.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/os/os.h"
#include "bench/scorecard.h"
#include "cli/output.h"
#include "cli/session.h"
#include "evidence/chain.h"
#include "evidence/record.h"
#include "lull/budget.h"

namespace lull {

void ServerFlags::AddTo(CLI::App& app) {
  app.add_option("--port", address.port, "port of the server")
      ->required()
      ->check(CLI::Range(1, 65535));
  app.add_option("--host", address.host, "address of the server (default 127.0.0.1)");
  app.add_option("--pid", address.pid, "process to watch (default: as the server says)")
      ->check(CLI::Range(1, 1 << 22));
  app.add_option("--key", address.key, "API key of the server");
  app.add_option("--model", model, "sent as \"model\" (default lull)");
  app.add_flag("--chat", chat, "use /v1/chat/completions instead of /v1/completions");
}

void TokenizerFlag::AddTo(CLI::App& app) {
  app.add_option("--tokenizer", model,
                 "model whose vocabulary counts the prompts (default: the server's /tokenize)");
}

Result<TokenCounter> TokenizerFlag::Counter() const {
  if (model.empty()) return TokenCounter();
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<Model> opened, OpenVocabulary(model));
  const std::shared_ptr<Model> vocabulary = std::move(opened);
  return TokenCounter([vocabulary](const std::string& text) -> Result<int64_t> {
    LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, vocabulary->Tokenize(text, {}));
    return static_cast<int64_t>(tokens.size());
  });
}

void RecordFlag::AddTo(CLI::App& app) {
  app.add_option("--record", path, "append the run, signed, as one JSON line to this file");
}

Status RecordFlag::Append(const nlohmann::json& record, const std::string& command_line) const {
  if (path.empty()) return Status();
  nlohmann::json full = record;
  full["command"] = command_line;
  Complete(&full);
  LULL_ASSIGN_OR_RETURN(const SigningKey key, SigningKey::LoadOrCreate(EvidenceKeyPath()));
  return AppendSigned(path, full, key);
}

std::string EvidenceKeyPath() { return DataFolder() + "/evidence.key"; }

int ExitCodeOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return 0;
    case Verdict::kFail:
      return 1;
    case Verdict::kUnproven:
      return 75;
  }
  return 75;
}

Status Report(const Outcome& outcome, const RecordFlag& record, Command* command) {
  command->exit_code = ExitCodeOf(outcome.overall);
  LULL_RETURN_IF_ERROR(record.Append(outcome.record, command->command_line));
  if (command->json)
    PrintJson(outcome.record);
  else
    PrintOutcome(outcome, os::IsTerminal(1), std::cout);
  return Status();
}

Result<double> ParseShareFlag(const char* flag, const std::string& text) {
  Result<double> share = ParseCpuShare(text);
  if (share.ok()) return share;
  Error error = share.error();
  error.where = flag;
  return error;
}

}  // namespace lull
