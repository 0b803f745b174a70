#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal_text.h"
#include "service/model_card.h"
#include "store/store.h"

namespace lull {
namespace {

constexpr size_t kShownChars = 300;

class ShowCommand : public Command {
 public:
  const char* name() const override { return "show"; }
  const char* help() const override {
    return "Say what a model of the store is and where it is from";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "a name that lull list shows")->required();
  }

  Status Run() override {
    const Result<StoredModel> found = Store(ModelsFolder()).Find(model_);
    if (!found.ok()) return NotAName(found.error(), model_);
    const StoredModel& model = *found;
    if (model.path.empty())
      return Status(ErrorCode::kNotFound, "a file of the model is gone", model.name,
                    "lull pull " + model.name);
    ModelCard card;
    if (model.kind == ModelKind::kGguf) {
      LULL_ASSIGN_OR_RETURN(card, ReadModelCard(model.path, false, ExecContext()));
    }
    const std::string license = model.license.empty() ? card.license : model.license;
    json ? PrintAsJson(model, card, license) : PrintAsText(model, card, license);
    return Status();
  }

 private:
  static void Line(const char* what, const std::string& value) {
    if (!value.empty()) printf("%-13s %s\n", what, Printable(value, kShownChars).c_str());
  }

  static void PrintAsText(const StoredModel& model, const ModelCard& card,
                          const std::string& license) {
    Line("name", model.name);
    Line("architecture", card.architecture);
    Line("type", model.kind == ModelKind::kGguf ? card.file_type : "safetensors");
    if (card.parameters > 0) Line("parameters", std::to_string(card.parameters));
    if (card.context_tokens > 0) Line("context", std::to_string(card.context_tokens) + " tokens");
    Line("size", BytesText(static_cast<double>(model.bytes)));
    Line("licence", license);
    Line("source", model.source + (model.commit.empty() ? "" : " at " + model.commit));
    Line("digest", model.digest);
    Line("path", model.path);
    if (model.files.size() == 1) return;
    for (const ManifestFile& file : model.files)
      Line("file", file.name + "  " + BytesText(static_cast<double>(file.bytes)));
  }

  static void PrintAsJson(const StoredModel& model, const ModelCard& card,
                          const std::string& license) {
    Json files = Json::array();
    for (const ManifestFile& file : model.files)
      files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"key", file.key.text()}});
    PrintJson({{"name", model.name},
               {"kind", model.kind == ModelKind::kGguf ? "gguf" : "safetensors"},
               {"architecture", card.architecture},
               {"type", card.file_type},
               {"parameters", card.parameters},
               {"context_tokens", card.context_tokens},
               {"bytes", model.bytes},
               {"license", license},
               {"source", model.source},
               {"commit", model.commit},
               {"digest", model.digest},
               {"pulled_unix_s", model.pulled_unix_s},
               {"path", model.path},
               {"files", std::move(files)}});
  }

  std::string model_;
};

}  // namespace

std::unique_ptr<Command> MakeShowCommand() { return std::make_unique<ShowCommand>(); }

}  // namespace lull
