#include "cli/adapter_flags.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "base/os/os.h"
#include "cli/output.h"
#include "convert/peft_folder.h"
#include "formats/gguf.h"

namespace lull {

namespace fs = std::filesystem;

namespace {

bool IsBelow(const fs::path& root, const fs::path& file) {
  const auto parted = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  return parted.first == root.end() && parted.second != file.end();
}

// The file's name without .gguf, the folder's as it is.
std::string NameOf(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (name.size() > 5 && name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

}  // namespace

void AdapterFlags::AddTo(CLI::App& app) {
  app.add_option("--lora", plain,
                 "LoRA adapter (GGUF, or a folder of PEFT's); may be given several times")
      ->allow_extra_args(false);
  app.add_option("--lora-scaled", scaled, "PATH:SCALE of an adapter")->allow_extra_args(false);
}

Result<ScaledPath> ParseScaledPath(const std::string& text) {
  const size_t colon = text.rfind(':');
  const Status bad(ErrorCode::kUsage, "\"" + text + "\" is no PATH:SCALE", "--lora-scaled",
                   "for example adapter.gguf:0.5");
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) return bad;
  char* end = nullptr;
  const double scale = strtod(text.c_str() + colon + 1, &end);
  if (*end != 0 || !(std::abs(scale) <= 1e6)) return bad;
  return ScaledPath{text.substr(0, colon), scale};
}

Result<std::shared_ptr<const Adapter>> OpenAdapter(const std::string& path, const Model& model,
                                                   Runtime& runtime) {
  if (!IsPeftFolder(path)) return Adapter::Load(path, model, runtime);
  static std::atomic<int> count{0};
  const fs::path folder = fs::path(ModelsFolder()) / ".adapters";
  std::error_code ec;
  fs::create_directories(folder, ec);
  const fs::path name = std::to_string(os::ProcessId()) + "-" + std::to_string(++count) + ".gguf";
  const std::string file = (folder / name).string();
  ConvertOptions options;
  options.durable = false;
  LULL_ASSIGN_OR_RETURN(const auto base, GgufFile::Open(model.info().path));
  if (static_cast<int64_t>(base->file_bytes()) != model.info().file_bytes)
    return Status(ErrorCode::kInvalidModel, "the model's file is not the one that was loaded",
                  model.info().path, "load the model anew");
  LULL_RETURN_IF_ERROR(ConvertPeftFolder(path, *base, file, options).status());
  auto adapter = Adapter::Load(file, model, runtime);
  fs::remove(file, ec);
  if (adapter.ok()) return adapter;
  Error error = adapter.error();  // that file has gone
  if (const size_t at = error.where.find(file); at != std::string::npos)
    error.where.replace(at, file.size(), path);
  return error;
}

Result<std::vector<ScaledPath>> AdapterFlags::Paths() const {
  std::vector<ScaledPath> paths;
  for (const std::string& path : plain) paths.push_back({path, 1.0});
  for (const std::string& text : scaled) {
    LULL_ASSIGN_OR_RETURN(ScaledPath path, ParseScaledPath(text));
    paths.push_back(std::move(path));
  }
  return paths;
}

Result<std::vector<AdapterUse>> AdapterFlags::Load(const Model& model, Runtime& runtime) const {
  LULL_ASSIGN_OR_RETURN(const std::vector<ScaledPath> paths, Paths());
  std::vector<AdapterUse> uses;
  for (const ScaledPath& path : paths) {
    LULL_ASSIGN_OR_RETURN(auto adapter, OpenAdapter(path.path, model, runtime));
    uses.push_back({std::move(adapter), path.scale});
  }
  return uses;
}

void ServedAdapterFlags::AddTo(CLI::App& app) {
  applied.AddTo(app);
  app.add_option("--lora-modules", named,
                 "NAME=PATH of an adapter; a request whose model is NAME gets it; may be given "
                 "several times")
      ->allow_extra_args(false);
  app.add_option("--lora-folder", folder, "let clients load adapters from this folder");
}

std::unique_ptr<ServedAdapters> ServedAdapterFlags::MakeServed(
    Runtime& runtime, ServedAdapters::IsModelFn is_model) const {
  const auto open = [&runtime](const std::string& path, const Model& model) {
    return OpenAdapter(path, model, runtime);
  };
  ServedAdapters::LocateFn locate;
  if (!folder.empty())
    locate = [root = folder](const std::string& path) { return LocateBelow(root, path); };
  return std::make_unique<ServedAdapters>(open, std::move(locate), std::move(is_model));
}

namespace {

// Of a name that the command line gave: as its flag, not as the field that clients give it in.
Status WithFlag(const Status& status, const char* flag) {
  if (status.ok() || status.error().where != "lora_name") return status;
  Error error = status.error();
  error.where = flag;
  return error;
}

}  // namespace

Status ServedAdapterFlags::Check(bool own_model) const {
  const bool any = !applied.plain.empty() || !applied.scaled.empty() || !named.empty();
  if (!own_model && (any || !folder.empty()))
    return Status(ErrorCode::kUsage, "adapters without a model of the server's own",
                  !named.empty() ? "--lora-modules"
                  : any          ? "--lora"
                                 : "--lora-folder",
                  "lull serve MODEL --lora ...");
  std::error_code ec;
  if (!folder.empty() && !fs::is_directory(folder, ec))
    return Status(ErrorCode::kNotFound, "no such folder: " + folder, "--lora-folder");
  return Status();
}

Status ServedAdapterFlags::AddAll(const Model& model, ServedAdapters* served) const {
  LULL_ASSIGN_OR_RETURN(const std::vector<ScaledPath> paths, applied.Paths());
  for (const ScaledPath& path : paths)
    LULL_RETURN_IF_ERROR(
        WithFlag(served->Add(model, NameOf(path.path), path.path, path.scale), "--lora"));
  for (const std::string& text : named) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      return Status(ErrorCode::kUsage, "\"" + text + "\" is no NAME=PATH", "--lora-modules",
                    "for example sql=adapters/sql.gguf");
    LULL_RETURN_IF_ERROR(
        WithFlag(served->Add(model, text.substr(0, equals), text.substr(equals + 1), 0.0),
                 "--lora-modules"));
  }
  return Status();
}

Result<std::string> LocateBelow(const std::string& folder, const std::string& path) {
  std::error_code ec;
  const fs::path root = fs::canonical(folder, ec);
  if (ec)
    return Status(ErrorCode::kNotFound, "cannot open the folder: " + ec.message(), "--lora-folder");
  const fs::path file = fs::canonical(root / path, ec);  // an absolute path replaces root
  bool below = !ec && IsBelow(root, file);
  // What a folder of PEFT's links to counts too.
  if (below && fs::is_directory(file, ec))
    for (const char* part : kPeftFiles)
      below = below && IsBelow(root, fs::weakly_canonical(file / part, ec));
  if (!below)
    return Status(ErrorCode::kNotFound, "no such file in the folder of adapters", "lora_path");
  return file.string();
}

}  // namespace lull
