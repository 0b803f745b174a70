#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "store/store.h"

namespace lull {
namespace {

class CpCommand : public Command {
 public:
  const char* name() const override { return "cp"; }
  const char* help() const override {
    return "Give a model of the store another name, at no bytes";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("from", from_, "a name that lull list shows")->required();
    app.add_option("to", to_, "the other name")->required();
  }
  Status Run() override {
    const Status copied = Store(ModelsFolder()).Copy(from_, to_);
    if (!copied.ok()) return NotAName(copied.error(), from_);
    if (json) PrintJson({{"from", from_}, {"to", to_}});
    return Status();
  }

 private:
  std::string from_, to_;
};

}  // namespace

std::unique_ptr<Command> MakeCpCommand() { return std::make_unique<CpCommand>(); }

}  // namespace lull
