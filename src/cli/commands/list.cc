#include <algorithm>
#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal_text.h"
#include "store/store.h"

namespace lull {
namespace {

class ListCommand : public Command {
 public:
  const char* name() const override { return "list"; }
  const char* help() const override { return "Show the models in the store"; }
  void AddOptions(CLI::App&) override {}

  Status Run() override {
    const std::vector<StoredModel> models = Store(ModelsFolder()).List();
    const std::vector<ConvertedModel> converted = Conversions().List();
    if (json) {
      Json rows = Json::array();
      for (const StoredModel& model : models)
        rows.push_back({{"name", model.name},
                        {"path", model.path},
                        {"bytes", model.bytes},
                        {"digest", model.digest},
                        {"source", model.source}});
      Json converted_rows = Json::array();
      for (const ConvertedModel& model : converted)
        converted_rows.push_back(
            {{"folder", model.folder}, {"path", model.path}, {"bytes", model.bytes}});
      PrintJson({{"models", rows}, {"converted", converted_rows}});
      return Status();
    }
    if (models.empty() && converted.empty())
      fprintf(stderr, "no models yet; try: lull pull smollm2\n");
    size_t columns = 14;
    for (const StoredModel& model : models) columns = std::max(columns, model.name.size());
    for (const StoredModel& model : models)
      printf("%s %8.1f MiB  %s\n", Left(model.name, columns).c_str(),
             static_cast<double>(model.bytes) / (1 << 20),
             model.path.empty() ? "(a file is gone: pull it again)" : model.path.c_str());
    for (const ConvertedModel& model : converted)
      printf("%s %8.1f MiB  converted from %s\n", Left("", columns).c_str(),
             static_cast<double>(model.bytes) / (1 << 20), model.folder.c_str());
    return Status();
  }
};

}  // namespace

std::unique_ptr<Command> MakeListCommand() { return std::make_unique<ListCommand>(); }

}  // namespace lull
