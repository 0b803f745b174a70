#include <nlohmann/json.hpp>

#include "cli/bench_flags.h"
#include "cli/command.h"
#include "cli/output.h"

namespace lull {
namespace {

class RecordCommand : public Command {
 public:
  const char* name() const override { return "record"; }
  const char* help() const override {
    return "Append the JSON object on stdin to a file of signed records";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("file", record_.path, "the file of records")->required();
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const std::string text, ReadStdin());
    const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
    if (!object.is_object())
      return Status(ErrorCode::kInvalidInput, "not a JSON object", "stdin", "give one JSON object");
    const std::string command = object.contains("command") && object["command"].is_string()
                                    ? object["command"].get<std::string>()
                                    : command_line;
    return record_.Append(object, command);
  }

 private:
  RecordFlag record_;
};

}  // namespace

std::unique_ptr<Command> MakeRecordCommand() { return std::make_unique<RecordCommand>(); }

}  // namespace lull
