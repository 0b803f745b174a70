#include "cli/command.h"
#include "cli/output.h"
#include "store/store.h"

namespace lull {
namespace {

class RmCommand : public Command {
 public:
  const char* name() const override { return "rm"; }
  const char* help() const override { return "Remove a model from the store"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "a name that lull list shows")->required();
  }
  Status Run() override {
    LULL_RETURN_IF_ERROR(Store(ModelsFolder()).Remove(model_));
    if (json) PrintJson({{"removed", model_}});
    return Status();
  }

 private:
  std::string model_;
};

}  // namespace

std::unique_ptr<Command> MakeRmCommand() { return std::make_unique<RmCommand>(); }

}  // namespace lull
