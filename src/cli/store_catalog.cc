#include "cli/store_catalog.h"

#include <chrono>
#include <filesystem>

namespace lull {
namespace {

namespace fs = std::filesystem;

int64_t ModifiedUnixS(const std::string& path) {
  std::error_code ec;
  const auto time = fs::last_write_time(path, ec);
  if (ec) return 0;
  const auto system = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(system).count();
}

AvailableModel Describe(const std::string& name, const std::string& path) {
  AvailableModel model;
  model.name = name;
  model.path = path;
  std::error_code ec;
  const auto bytes = fs::file_size(path, ec);
  model.bytes = ec ? 0 : static_cast<int64_t>(bytes);
  model.modified_unix_s = ModifiedUnixS(path);
  if (const CatalogEntry* entry = FindCatalogEntry(name);
      entry != nullptr && path.ends_with("/" + entry->file_name)) {
    model.sha256 = entry->sha256;
    model.license = entry->license;
  }
  return model;
}

// What clients call the model: its name, or of a path the file's name.
std::string NameOf(const std::string& model) {
  std::string name = model.substr(model.rfind('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? model : name;
}

std::string KnownNames() {
  std::string names;
  for (const CatalogEntry& entry : Catalog()) names += (names.empty() ? "" : ", ") + entry.name;
  return names;
}

}  // namespace

Result<StoreCatalog> StoreCatalog::Open(const std::string& folder, const std::string& own,
                                        LocateFn locate) {
  StoreCatalog catalog(folder, std::move(locate));
  if (own.empty()) return catalog;
  LULL_ASSIGN_OR_RETURN(const std::string path, catalog.store_.Resolve(own));
  catalog.own_ = Describe(CanonicalModelName(NameOf(own)), path);
  return catalog;
}

std::vector<AvailableModel> StoreCatalog::List() const {
  std::vector<AvailableModel> models;
  if (!own_.name.empty()) models.push_back(own_);
  for (const StoredModel& stored : store_.List())
    if (stored.name != own_.name) models.push_back(Describe(stored.name, stored.path));
  return models;
}

Result<AvailableModel> StoreCatalog::Find(const std::string& name) const {
  const std::string wanted = CanonicalModelName(name);
  for (AvailableModel& model : List())
    if (model.name == wanted) return std::move(model);
  const bool known = FindCatalogEntry(wanted) != nullptr;
  return Error{ErrorCode::kNotFound, "model '" + name.substr(0, 200) + "' not found", "model",
               known ? "lull pull " + wanted : "lull pull knows " + KnownNames()};
}

Result<AvailableModel> StoreCatalog::Offer(const std::string& name) const {
  const CatalogEntry* entry = FindCatalogEntry(CanonicalModelName(name));
  if (entry == nullptr)
    return Error{ErrorCode::kNotFound, "no model '" + name.substr(0, 200) + "' to pull", "model",
                 "there are " + KnownNames()};
  AvailableModel model =
      Describe(entry->name, (fs::path(store_.folder()) / entry->file_name).string());
  model.bytes = static_cast<int64_t>(entry->file_bytes);
  return model;
}

Status StoreCatalog::Pull(const std::string& name, const ProgressFn& progress) {
  const CatalogEntry* entry = FindCatalogEntry(CanonicalModelName(name));
  if (entry == nullptr) return Offer(name).status();
  return store_.Pull(*entry, progress).status();
}

Status StoreCatalog::Remove(const std::string& name) {
  const std::string wanted = CanonicalModelName(name);
  if (wanted == own_.name)
    return Status(ErrorCode::kUsage,
                  "'" + wanted + "' is the model that this server was started with", "model",
                  "stop the server, then lull rm " + wanted);
  LULL_RETURN_IF_ERROR(Find(wanted).status());
  return store_.Remove(wanted);
}

}  // namespace lull
