#include "cli/command.h"
#include "cli/server_link.h"

namespace lull {
namespace {

class StopCommand : public Command {
 public:
  const char* name() const override { return "stop"; }
  const char* help() const override { return "Have a running server unload a model"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "its name, as `lull ps` shows it")->required();
    link_.AddTo(app);
  }

  Status Run() override {
    // A request without a prompt that says not to keep the model.
    const Json body = {{"model", model_}, {"keep_alive", 0}, {"stream", false}};
    LULL_ASSIGN_OR_RETURN(const Json answer, link_.Post("/api/generate", body));
    if (json) PrintJson(answer);
    return Status();
  }

 private:
  std::string model_;
  ServerLink link_;
};

}  // namespace

std::unique_ptr<Command> MakeStopCommand() { return std::make_unique<StopCommand>(); }

}  // namespace lull
