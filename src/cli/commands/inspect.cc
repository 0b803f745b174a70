#include <cstdio>
#include <map>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "formats/gguf.h"

namespace lull {
namespace {

std::string DimsText(const GgufTensor& tensor) {
  std::string text;
  for (const uint64_t dim : tensor.dims) text += (text.empty() ? "" : " x ") + std::to_string(dim);
  return text;
}

class InspectCommand : public Command {
 public:
  const char* name() const override { return "inspect"; }
  const char* help() const override { return "What a model file holds: keys, tensors, types"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_flag("--tensors", tensors_, "list every tensor");
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
    LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path));
    if (json)
      PrintJson(ToJson(*file));
    else
      PrintText(*file);
    return Status();
  }

 private:
  static std::map<std::string, uint64_t> BytesByType(const GgufFile& file) {
    std::map<std::string, uint64_t> bytes;
    for (const GgufTensor& tensor : file.tensors())
      bytes[GgufTypeName(tensor.type_id)] += tensor.data.size();
    return bytes;
  }

  static Json ToJson(const GgufFile& file) {
    Json keys = Json::object(), tensors = Json::array();
    for (const std::string& key : file.Keys()) keys[key] = file.Describe(key);
    for (const GgufTensor& tensor : file.tensors())
      tensors.push_back({{"name", tensor.name},
                         {"type", GgufTypeName(tensor.type_id)},
                         {"shape", tensor.dims},
                         {"bytes", tensor.data.size()},
                         {"offset", tensor.file_offset}});
    return {{"path", file.path()},
            {"gguf_version", file.version()},
            {"file_bytes", file.file_bytes()},
            {"bytes_by_type", BytesByType(file)},
            {"keys", keys},
            {"tensors", tensors}};
  }

  void PrintText(const GgufFile& file) const {
    printf("%s\nGGUF v%u, %.1f MiB, %zu tensors\n\n", file.path().c_str(), file.version(),
           static_cast<double>(file.file_bytes()) / (1 << 20), file.tensors().size());
    for (const std::string& key : file.Keys())
      printf("  %-44s %s\n", key.c_str(), file.Describe(key).c_str());
    printf("\n");
    for (const auto& [type, bytes] : BytesByType(file))
      printf("  %-8s %10.1f MiB\n", type.c_str(), static_cast<double>(bytes) / (1 << 20));
    if (!tensors_) return;
    printf("\n");
    for (const GgufTensor& tensor : file.tensors())
      printf("  %-44s %-6s %s\n", tensor.name.c_str(), GgufTypeName(tensor.type_id),
             DimsText(tensor).c_str());
  }

  std::string model_;
  bool tensors_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace lull
