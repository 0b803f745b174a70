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
    app.add_flag("--if-missing", if_missing_,
                 "leave alone what the store has, without asking where it came from");
    hub_.AddTo(app);
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(HubOptions hub, hub_.ToOptions());
    const Store store(ModelsFolder(), nullptr, std::move(hub));
    std::vector<ModelSource> sources;
    for (const std::string& name : names_) {
      if (if_missing_ && IsThere(store, name)) continue;
      LULL_ASSIGN_OR_RETURN(ModelSource source, FindModelSource(name));
      sources.push_back(std::move(source));
      asked_.push_back(name);
    }
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
  bool IsThere(const Store& store, const std::string& name) {
    const Result<StoredModel> model = store.Find(name);
    if (!model.ok() || model->path.empty()) return false;
    Tell({Status(), model->name, model->path, "", "", model->bytes});
    return true;
  }
  void Tell(const PullOutcome& outcome) {
    rows_.push_back({{"name", outcome.name}, {"path", outcome.path}, {"bytes", outcome.bytes}});
    if (!json) printf("%s\n", outcome.path.c_str());
  }
  // What could be fetched is told in any case; the first failure is the command's.
  Status Report(const std::vector<PullOutcome>& outcomes) {
    Status first;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const PullOutcome& outcome = outcomes[i];
      if (!outcome.status.ok()) {
        if (first.ok())
          first = outcome.status;
        else
          PrintError(outcome.status.error(), false);
        continue;
      }
      Tell(outcome);
      if (!outcome.note.empty())
        fprintf(stderr, "%s: %s\n", asked_[i].c_str(), outcome.note.c_str());
      if (outcome.name != StoreName(asked_[i]))
        fprintf(stderr, "%s is here as %s\n", asked_[i].c_str(), outcome.name.c_str());
    }
    if (json && !rows_.empty()) PrintJson(names_.size() == 1 ? rows_[0] : Json{{"models", rows_}});
    return first;
  }

  std::vector<std::string> names_, asked_;
  Json rows_ = Json::array();
  bool if_missing_ = false;
  int jobs_ = 3;
  HubFlags hub_;
};

}  // namespace

std::unique_ptr<Command> MakePullCommand() { return std::make_unique<PullCommand>(); }

}  // namespace lull
