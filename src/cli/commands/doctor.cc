#include "doctor/doctor.h"

#include <cstdio>
#include <filesystem>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal_text.h"

namespace lull {
namespace {

class DoctorCommand : public Command {
 public:
  const char* name() const override { return "doctor"; }
  const char* help() const override {
    return "Examine this machine: what keeps Lull from working well, and the command that mends "
           "it; exits 1 where there is something to mend";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name of a model that is to fit");
    app.add_option("-p,--port", port_, "port that a server is to have (default 8080)")
        ->check(CLI::Range(1, 65535));
    app.add_flag("--fix-commands", only_commands_, "print the commands alone, one a line");
  }

  Status Run() override {
    MachineFacts facts = ThisMachine();
    if (!model_.empty()) {
      LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
      std::error_code ec;
      const auto bytes = std::filesystem::file_size(path, ec);
      if (!ec) facts.model_bytes = static_cast<int64_t>(bytes);
    }
    std::vector<Finding> findings = ExamineMachine(facts);
    findings.push_back(ExaminePort(port_));
    findings.push_back(ExamineStore(ModelsFolder()));
    findings.push_back(ExaminePip());
    for (const Finding& finding : findings)
      if (!finding.ok) exit_code = 1;
    if (json)
      PrintFindings(findings);
    else if (only_commands_)
      PrintCommands(findings);
    else
      PrintLines(findings);
    return Status();
  }

 private:
  static void PrintFindings(const std::vector<Finding>& findings) {
    Json rows = Json::array();
    bool ok = true;
    for (const Finding& finding : findings) {
      ok = ok && finding.ok;
      rows.push_back({{"name", finding.name},
                      {"ok", finding.ok},
                      {"message", finding.message},
                      {"fix", finding.fix}});
    }
    PrintJson({{"ok", ok}, {"findings", rows}});
  }
  static void PrintCommands(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings)
      if (!finding.ok) printf("%s\n", finding.fix.c_str());
  }
  static void PrintLines(const std::vector<Finding>& findings) {
    const Painter paint(1);
    for (const Finding& finding : findings) {
      const std::string word = finding.ok ? paint.Green("OK ") : paint.Yellow("FIX");
      printf("%s  %s%s\n", word.c_str(), Left(finding.name, 18).c_str(), finding.message.c_str());
      if (!finding.ok) printf("     %s%s\n", Left("", 18).c_str(), paint.Bold(finding.fix).c_str());
    }
  }

  std::string model_;
  int port_ = 8080;
  bool only_commands_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeDoctorCommand() { return std::make_unique<DoctorCommand>(); }

}  // namespace lull
