#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "store/store.h"

namespace lull {
namespace {

class PullCommand : public Command {
 public:
  const char* name() const override { return "pull"; }
  const char* help() const override { return "Fetch a model by name, verified and resumable"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "smollm2 or gemma3-270m")->required();
  }

  Status Run() override {
    const CatalogEntry* entry = FindCatalogEntry(model_);
    const Store store(ModelsFolder());
    if (entry == nullptr)
      return Status(ErrorCode::kNotFound, "no model of that name", model_,
                    "smollm2 or gemma3-270m");
    ProgressBar bar;
    bool announced = false;
    Result<std::string> path =
        store.Pull(*entry, [&](const std::string& step, uint64_t done, uint64_t total) {
          if (!announced)
            fprintf(stderr, "%s\nlicence: %s\n", entry->title.c_str(), entry->license.c_str());
          announced = true;
          bar.Update(step, done, total, "MiB");
          return true;
        });
    bar.Finish();
    if (!path.ok()) return path.status();
    if (json)
      PrintJson({{"name", entry->name}, {"path", *path}, {"bytes", entry->file_bytes}});
    else
      printf("%s\n", path->c_str());
    return Status();
  }

 private:
  std::string model_;
};

}  // namespace

std::unique_ptr<Command> MakePullCommand() { return std::make_unique<PullCommand>(); }

}  // namespace lull
