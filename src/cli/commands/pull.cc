#include <cstdio>
#include <set>

#include "base/os/os.h"
#include "cli/command.h"
#include "cli/hub_flags.h"
#include "cli/output.h"
#include "cli/pull_display.h"
#include "store/store.h"

namespace lull {
namespace {

class PullCommand : public Command {
 public:
  const char* name() const override { return "pull"; }
  const char* help() const override {
    return "Fetch models: smollm2, llama3.2:1b, hf:org/repo:Q4_K_M; verified and resumable";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option(
           "model", names_,
           "smollm2, gemma3-270m, hf:org/repo[@revision][:QUANT], hf:org/repo/file.gguf, or "
           "a well-known name:tag")
        ->required();
    app.add_option("-j,--jobs", jobs_, "files fetched at once (default 3)")
        ->check(CLI::Range(1, 32));
    hub_.AddTo(app);
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(HubOptions hub, hub_.ToOptions());
    std::vector<ModelSource> sources;
    for (const std::string& name : names_) {
      LULL_ASSIGN_OR_RETURN(ModelSource source, FindModelSource(name));
      sources.push_back(std::move(source));
    }
    const Store store(ModelsFolder(), nullptr, std::move(hub));
    PullDisplay display(os::IsTerminal(2));
    std::set<size_t> announced;
    const std::vector<PullOutcome> outcomes =
        store.PullModels(sources, jobs_, [&](const PullEvent& event) {
          const CatalogEntry* entry = sources[event.model].entry;
          if (entry != nullptr && announced.insert(event.model).second)
            display.Say(entry->title + "\nlicence: " + entry->license);
          display.Update(event);
          return true;
        });
    display.Finish();
    return Report(outcomes);
  }

 private:
  // What could be fetched is told in any case; the first failure is the command's.
  Status Report(const std::vector<PullOutcome>& outcomes) const {
    Status first;
    Json rows = Json::array();
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const PullOutcome& outcome = outcomes[i];
      if (!outcome.status.ok()) {
        if (first.ok())
          first = outcome.status;
        else
          PrintError(outcome.status.error(), false);
        continue;
      }
      rows.push_back({{"name", outcome.name}, {"path", outcome.path}, {"bytes", outcome.bytes}});
      if (!outcome.note.empty())
        fprintf(stderr, "%s: %s\n", names_[i].c_str(), outcome.note.c_str());
      if (outcome.name != StoreName(names_[i]))
        fprintf(stderr, "%s is here as %s\n", names_[i].c_str(), outcome.name.c_str());
      if (!json) printf("%s\n", outcome.path.c_str());
    }
    if (json && !rows.empty()) PrintJson(names_.size() == 1 ? rows[0] : Json{{"models", rows}});
    return first;
  }

  std::vector<std::string> names_;
  int jobs_ = 3;
  HubFlags hub_;
};

}  // namespace

std::unique_ptr<Command> MakePullCommand() { return std::make_unique<PullCommand>(); }

}  // namespace lull
