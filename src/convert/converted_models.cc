#include "convert/converted_models.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/os/file_lock.h"
#include "convert/convert.h"
#include "convert/hf_folder.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr char kSource[] = "source";  // holds the folder's path

std::string Canonical(const std::string& folder) {
  std::error_code ec;
  const std::string path = fs::weakly_canonical(folder, ec).string();
  return ec ? folder : path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
}

// As part of a file's name: what follows the last slash, without signs that mean something.
std::string FileName(const std::string& name) {
  std::string plain = name.substr(name.rfind('/') + 1);
  for (char& c : plain)
    if (c == ':' || c == '\\' || static_cast<unsigned char>(c) < 0x20) c = '-';
  return (plain.empty() ? "model" : plain.substr(0, 200)) + ".gguf";
}

// One conversion's folder; an empty path where it has no file.
ConvertedModel Read(const fs::path& place) {
  ConvertedModel model;
  std::ifstream in(place / kSource);
  std::getline(in, model.folder, '\0');
  std::error_code ec, of_file;
  for (fs::directory_iterator it(place, ec), end; !ec && it != end; it.increment(ec)) {
    const uint64_t bytes = it->file_size(of_file);
    if (!of_file) model.bytes += bytes;
    if (it->path().extension() == ".gguf") model.path = it->path().string();
  }
  return model;
}

std::vector<fs::path> Places(const std::string& root) {
  std::vector<fs::path> places;
  std::error_code ec, of_file;
  for (fs::directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec))
    if (it->is_directory(of_file)) places.push_back(it->path());
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

std::string ConvertedModels::Find(const std::string& folder) const {
  const Result<std::string> key = HfFolderKey(folder);
  return key.ok() ? Read(fs::path(root_) / *key).path : "";
}

Result<std::string> ConvertedModels::Get(const std::string& folder, const std::string& name,
                                         const Watch& watch) const {
  LULL_ASSIGN_OR_RETURN(const std::string key, HfFolderKey(folder));
  const fs::path place = fs::path(root_) / key;
  if (std::string path = Read(place).path; !path.empty()) return path;
  std::error_code ec;
  fs::create_directories(place, ec);
  if (ec)
    return Status(ErrorCode::kIo, "cannot create folder: " + ec.message(), place.string(),
                  "set LULL_HOME to a folder you can write to");
  {
    LULL_ASSIGN_OR_RETURN(
        const auto lock,
        os::FileLock::Acquire((fs::path(root_) / ".lock").string(), watch.waiting));
    if (std::string path = Read(place).path; !path.empty()) return path;
    const std::string source = Canonical(folder);
    fs::create_directories(place, ec);
    std::ofstream(place / kSource) << source;
    const std::string path = (place / FileName(name.empty() ? source : name)).string();
    ConvertOptions options;
    options.name = name;
    options.progress = [&watch](uint64_t done, uint64_t total) {
      if (watch.progress) watch.progress(done, total);
      return true;
    };
    const Status status = ConvertHfFolder(folder, path, options).status();
    if (!status.ok()) {
      fs::remove_all(place, ec);
      return status;
    }
  }
  // Without `source`: of a version before this.
  LULL_RETURN_IF_ERROR(RemoveThose([&](const ConvertedModel& model) {
                         const bool this_one = fs::path(model.path).parent_path() == place;
                         return !this_one &&
                                (model.folder.empty() || model.folder == Canonical(folder));
                       }).status());
  return Read(place).path;
}

std::vector<ConvertedModel> ConvertedModels::List() const {
  std::vector<ConvertedModel> models;
  for (const fs::path& place : Places(root_)) {
    ConvertedModel model = Read(place);
    if (!model.path.empty()) models.push_back(std::move(model));
  }
  return models;
}

Result<int> ConvertedModels::Remove(const std::string& folder) const {
  return RemoveThose(
      [source = Canonical(folder)](const ConvertedModel& model) { return model.folder == source; });
}

Status ConvertedModels::RemoveGone(const std::string& parent) const {
  const std::string prefix = Canonical(parent) + "/";
  return RemoveThose([&](const ConvertedModel& model) {
           std::error_code ec;
           return model.folder.starts_with(prefix) && !fs::exists(model.folder, ec);
         })
      .status();
}

Result<int> ConvertedModels::RemoveThose(
    const std::function<bool(const ConvertedModel&)>& chosen) const {
  std::error_code ec;
  if (!fs::exists(root_, ec)) return 0;
  LULL_ASSIGN_OR_RETURN(const auto lock,
                        os::FileLock::Acquire((fs::path(root_) / ".lock").string()));
  int removed = 0;
  for (const fs::path& place : Places(root_)) {
    if (!chosen(Read(place))) continue;
    fs::remove_all(place, ec);
    if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), place.string());
    ++removed;
  }
  return removed;
}

}  // namespace lull
