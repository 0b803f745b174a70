#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "store/store.h"

namespace lull {
namespace {

class RmCommand : public Command {
 public:
  const char* name() const override { return "rm"; }
  const char* help() const override { return "Remove a model from the store"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "a name, or a converted folder, that lull list shows")
        ->required();
  }
  Status Run() override {
    LULL_RETURN_IF_ERROR(Remove());
    if (json) PrintJson({{"removed", model_}});
    return Status();
  }

 private:
  // A folder's own files are left; what a pulled one became goes with its last name.
  Status Remove() const {
    if (model_.find('/') != std::string::npos) {
      LULL_ASSIGN_OR_RETURN(const int removed, Conversions().Remove(model_));
      if (removed > 0) return Status();
    }
    const Status removed = Store(ModelsFolder()).Remove(model_);
    if (!removed.ok()) return NotAName(removed.error(), model_);
    return Conversions().RemoveGone(ModelsFolder());
  }

  std::string model_;
};

}  // namespace

std::unique_ptr<Command> MakeRmCommand() { return std::make_unique<RmCommand>(); }

}  // namespace lull
