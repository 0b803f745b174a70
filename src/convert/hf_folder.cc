#include "convert/hf_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>

#include "base/json_text.h"
#include "base/os/os.h"
#include "base/sha256.h"
#include "formats/gguf.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kMaxTextBytes = uint64_t{256} << 20;  // the largest tokenizers have 35 MB
constexpr char kIndex[] = "model.safetensors.index.json";
// Part of the key: another number where the same folder converts to another file.
constexpr char kConverterVersion[] = "3";

Result<std::string> ReadText(const fs::path& path) {
  std::error_code ec;
  if (!fs::is_regular_file(path, ec)) return std::string();
  if (fs::file_size(path, ec) == 0) return std::string();
  LULL_ASSIGN_OR_RETURN(const auto file, os::MappedFile::Open(path.string()));
  if (file->bytes().size() > kMaxTextBytes)
    return Status(ErrorCode::kInvalidInput, "more than 256 MiB of text", path.string());
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

// Python writes infinity into JSON, which has no word for it: null.
void ReplaceInfinity(std::string* text) {
  constexpr std::string_view kInfinity = "Infinity";
  bool quoted = false;
  for (size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] == '\\' && quoted) {
      ++i;
    } else if ((*text)[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text->compare(i, kInfinity.size(), kInfinity) == 0) {
      text->replace(i, kInfinity.size(), "null    ");
    }
  }
}

Result<Json> ReadJson(const fs::path& path) {
  LULL_ASSIGN_OR_RETURN(std::string text, ReadText(path));
  if (path.filename() == "config.json") ReplaceInfinity(&text);
  if (text.empty()) return Json();
  return ParseJsonText(text, path.string());
}

// A template of its own file, else of tokenizer_config.json: one, or several with names.
Result<std::string> ReadTemplate(const fs::path& folder, const Json& tokenizer_config) {
  LULL_ASSIGN_OR_RETURN(std::string text, ReadText(folder / "chat_template.jinja"));
  if (!text.empty()) return text;
  const Json& given = JsonField(tokenizer_config, "chat_template");
  if (given.is_string()) return given.get<std::string>();
  if (!given.is_array()) return std::string();
  for (const Json& one : given)
    if (JsonText(one, "name") == "default") return JsonText(one, "template");
  return std::string();
}

// The files of the model: those that the index names, else model.safetensors.
Result<std::set<std::string>> FileNames(const fs::path& folder, const Json& index) {
  if (index.is_null()) return std::set<std::string>{"model.safetensors"};
  const Json& map = JsonField(index, "weight_map");
  std::set<std::string> names;
  if (map.is_object()) {
    for (const auto& [tensor, file] : map.items()) {
      const std::string name = file.is_string() ? file.get<std::string>() : "";
      if (!name.ends_with(".safetensors") || name.find_first_of("/\\") != std::string::npos)
        return Status(ErrorCode::kInvalidInput,
                      "tensor " + GgufQuote(tensor) + " lies in no file of this folder",
                      (folder / kIndex).string());
      names.insert(name);
    }
  }
  if (names.empty() || names.size() > 4096)
    return Status(ErrorCode::kInvalidInput, "it names no files", (folder / kIndex).string());
  return names;
}

Status OpenFiles(const std::set<std::string>& names, HfFolder* out) {
  std::error_code ec;
  for (const std::string& name : names) {
    const fs::path path = fs::path(out->path) / name;
    if (!fs::is_regular_file(path, ec))
      return Status(ErrorCode::kNotFound, "the file is missing", path.string(),
                    "a model folder has model.safetensors, or an index that names its parts");
    LULL_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(path.string()));
    for (const SafetensorsTensor& tensor : file->tensors())
      if (!out->tensors.emplace(tensor.name, &tensor).second)
        return Status(ErrorCode::kInvalidModel,
                      "tensor " + GgufQuote(tensor.name) + " is in two files", path.string());
    out->files.push_back(std::move(file));
  }
  return Status();
}

// A part that was left out, or mixed up with another model's.
Status CheckIndex(const Json& index, const HfFolder& folder) {
  const Json& map = JsonField(index, "weight_map");
  if (!map.is_object()) return Status();
  for (const auto& [tensor, file] : map.items())
    if (!folder.tensors.contains(tensor))
      return Status(ErrorCode::kInvalidModel, "no file has tensor " + GgufQuote(tensor),
                    (fs::path(folder.path) / kIndex).string());
  return Status();
}

}  // namespace

Result<nlohmann::json> ReadHfJson(const std::string& path) { return ReadJson(path); }

Result<std::unique_ptr<HfFolder>> HfFolder::Open(const std::string& path) {
  const fs::path folder(path);
  auto result = std::make_unique<HfFolder>();
  result->path = path;
  std::error_code ec;
  const fs::path whole = fs::weakly_canonical(folder, ec);
  result->name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  if (!fs::is_directory(folder, ec))
    return Status(ErrorCode::kNotFound,
                  fs::exists(folder, ec) ? "a file, where a folder is converted" : "no such folder",
                  path,
                  "give a folder with config.json and safetensors; GGUF files run as they are");
  LULL_ASSIGN_OR_RETURN(result->config, ReadJson(folder / "config.json"));
  if (!result->config.is_object())
    return Status(ErrorCode::kNotFound, "no config.json with an object", path,
                  "give a folder with config.json, tokenizer.json and model.safetensors");
  LULL_ASSIGN_OR_RETURN(result->tokenizer, ReadJson(folder / "tokenizer.json"));
  LULL_ASSIGN_OR_RETURN(result->tokenizer_config, ReadJson(folder / "tokenizer_config.json"));
  LULL_ASSIGN_OR_RETURN(result->generation_config, ReadJson(folder / "generation_config.json"));
  LULL_ASSIGN_OR_RETURN(result->chat_template, ReadTemplate(folder, result->tokenizer_config));
  LULL_ASSIGN_OR_RETURN(const Json index, ReadJson(folder / kIndex));
  LULL_ASSIGN_OR_RETURN(const std::set<std::string> names, FileNames(folder, index));
  LULL_RETURN_IF_ERROR(OpenFiles(names, result.get()));
  LULL_RETURN_IF_ERROR(CheckIndex(index, *result));
  return result;
}

bool IsHfFolder(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(fs::path(path) / "config.json", ec);
}

Result<std::string> HfFolderKey(const std::string& path) {
  std::error_code ec;
  const fs::path whole = fs::canonical(path, ec);
  std::vector<std::string> lines;
  for (fs::directory_iterator it(whole, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string suffix = it->path().extension().string();
    if (suffix != ".json" && suffix != ".jinja" && suffix != ".safetensors") continue;
    std::error_code of_file;
    lines.push_back(it->path().filename().string() + "\n" + std::to_string(it->file_size(of_file)) +
                    "\n" + std::to_string(it->last_write_time(of_file).time_since_epoch().count()));
  }
  if (ec) return Status(ErrorCode::kIo, "cannot read the folder: " + ec.message(), path);
  std::sort(lines.begin(), lines.end());
  Sha256 sha;
  const auto add = [&sha](const std::string& text) {
    sha.Update(reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1);
  };
  add(kConverterVersion);
  add(whole.string());
  for (const std::string& line : lines) add(line);
  return sha.Hex();
}

}  // namespace lull
