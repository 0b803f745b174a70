#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "evidence/chain.h"

namespace lull {
namespace {

class VerifyCommand : public Command {
 public:
  const char* name() const override { return "verify"; }
  const char* help() const override {
    return "Check a file of signed records: nothing missing, altered or out of order; exits 0 or 1";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("file", path_, "the file of records")->required();
    app.add_option("--key", key_, "public key that must have signed (64 hex digits)");
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const ChainReport report, VerifyChain(path_, key_));
    exit_code = report.ok() ? 0 : 1;
    json ? PrintAsJson(report) : PrintAsText(report);
    return Status();
  }

 private:
  void PrintAsJson(const ChainReport& report) const {
    Json findings = Json::array();
    for (const ChainFinding& finding : report.findings)
      findings.push_back({{"line", finding.line}, {"problem", finding.problem}});
    PrintJson({{"file", path_},
               {"ok", report.ok()},
               {"records", report.records},
               {"unsigned", report.unsigned_records},
               {"keys", report.keys},
               {"findings", findings},
               {"notes", report.notes}});
  }
  void PrintAsText(const ChainReport& report) const {
    for (const ChainFinding& finding : report.findings)
      printf("%s:%lld: %s\n", path_.c_str(), static_cast<long long>(finding.line),
             finding.problem.c_str());
    for (const std::string& note : report.notes) printf("%s: %s\n", path_.c_str(), note.c_str());
    for (const std::string& key : report.keys) printf("signed by %s\n", key.c_str());
    printf("%s: %lld records, %s\n", path_.c_str(), static_cast<long long>(report.records),
           report.ok() ? "intact" : "NOT INTACT");
  }

  std::string path_, key_;
};

}  // namespace

std::unique_ptr<Command> MakeVerifyCommand() { return std::make_unique<VerifyCommand>(); }

}  // namespace lull
