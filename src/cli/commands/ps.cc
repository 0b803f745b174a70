#include <cstdio>

#include "cli/command.h"
#include "cli/server_link.h"

namespace lull {
namespace {

class PsCommand : public Command {
 public:
  const char* name() const override { return "ps"; }
  const char* help() const override { return "The models that a running server has loaded"; }
  void AddOptions(CLI::App& app) override { link_.AddTo(app); }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const Json answer, link_.Get("/api/ps"));
    if (json) return PrintJson(answer), Status();
    printf("%-24s %10s %8s  %s\n", "NAME", "MiB", "CONTEXT", "UNTIL");
    for (const Json& model : answer.value("models", Json::array())) PrintModel(model);
    return Status();
  }

 private:
  static void PrintModel(const Json& model) {
    const Json lull = model.value("lull", Json::object());
    const std::string until = lull.value("in_use", false)  ? "in use"
                              : lull.value("keeps", false) ? "forever"
                                                           : model.value("expires_at", "");
    printf("%-24s %10.1f %8lld  %s\n", model.value("name", "").c_str(),
           model.value("size", 0.0) / (1 << 20), model.value("context_length", 0LL), until.c_str());
  }

  ServerLink link_;
};

}  // namespace

std::unique_ptr<Command> MakePsCommand() { return std::make_unique<PsCommand>(); }

}  // namespace lull
