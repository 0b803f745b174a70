#include <cstdio>
#include <map>

#include "cli/command.h"
#include "cli/examination_text.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/support_text.h"
#include "engine/examine.h"
#include "formats/gguf.h"

namespace lull {
namespace {

class InspectCommand : public Command {
 public:
  const char* name() const override { return "inspect"; }
  const char* help() const override {
    return "What a model file holds, and whether and how Lull runs it";
  }
  void AddOptions(CLI::App& app) override {
    CLI::Option* model = app.add_option("model", model_, "path or name");
    CLI::Option* support = app.add_flag("--support", support_,
                                        "instead: every architecture, type, tokenizer and "
                                        "instruction set there is, as Markdown");
    app.add_flag("--tensors", tensors_, "list every tensor")->excludes(support);
    model->excludes(support);
  }

  Status Run() override {
    if (support_) {
      PrintSupport();
      return Status();
    }
    if (model_.empty())
      return {ErrorCode::kUsage, "no model", "model", "give a path or a name, or --support"};
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
    LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path));
    const Examination examination = Examine(*file, BestKernels());
    if (json)
      PrintJson(ToJson(*file, examination));
    else
      PrintText(*file, examination);
    return Status();
  }

 private:
  void PrintSupport() const {
    if (json)
      PrintJson(SupportJson());
    else
      fputs(SupportMarkdown().c_str(), stdout);
  }

  static std::map<std::string, int64_t> BytesByType(const Examination& examination) {
    std::map<std::string, int64_t> bytes;
    for (const TensorTypeUse& use : examination.types) bytes[use.type] += use.bytes;
    return bytes;
  }

  static Json ToJson(const GgufFile& file, const Examination& examination) {
    Json keys = Json::object(), tensors = Json::array();
    for (const std::string& key : file.Keys()) keys[key] = file.Describe(key);
    for (const GgufTensor& tensor : file.tensors())
      tensors.push_back({{"name", tensor.name},
                         {"type", GgufTypeName(tensor.type_id)},
                         {"shape", tensor.dims},
                         {"bytes", tensor.data.size()},
                         {"offset", tensor.file_offset}});
    Json json = {{"path", file.path()},
                 {"gguf_version", file.version()},
                 {"file_bytes", file.file_bytes()},
                 {"bytes_by_type", BytesByType(examination)},
                 {"keys", keys},
                 {"tensors", tensors}};
    json.update(ExaminationJson(examination, BestKernels()));
    return json;
  }

  void PrintText(const GgufFile& file, const Examination& examination) const {
    printf("%s\nGGUF v%u, %.1f MiB, %zu tensors: %s\n\n", file.path().c_str(), file.version(),
           static_cast<double>(file.file_bytes()) / (1 << 20), file.tensors().size(),
           examination.kind.c_str());
    for (const std::string& key : file.Keys())
      printf("  %-44s %s\n", key.c_str(), file.Describe(key).c_str());
    if (tensors_) printf("\n");
    if (tensors_)
      for (const GgufTensor& tensor : file.tensors())
        printf("  %-44s %-6s %s\n", tensor.name.c_str(), GgufTypeName(tensor.type_id),
               GgufDims(tensor.dims).c_str());
    printf("\n%s", ExaminationText(examination, BestKernels()).c_str());
  }

  std::string model_;
  bool tensors_ = false;
  bool support_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace lull
