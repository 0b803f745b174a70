#include "cli/store_catalog.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include "cli/session.h"

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

AvailableModel DescribeFile(const std::string& name, const std::string& path) {
  AvailableModel model;
  model.name = name;
  model.path = path;
  std::error_code ec;
  const auto bytes = fs::file_size(path, ec);
  model.bytes = ec ? 0 : static_cast<int64_t>(bytes);
  model.modified_unix_s = ModifiedUnixS(path);
  return model;
}

AvailableModel Describe(const StoredModel& stored) {
  constexpr std::string_view kSha256 = "sha256:";
  AvailableModel model;
  model.name = stored.name;
  model.path = stored.path;
  if (stored.kind == ModelKind::kSafetensors)
    if (std::string converted = Conversions().Find(stored.path); !converted.empty())
      model.path = std::move(converted);
  model.bytes = static_cast<int64_t>(stored.bytes);
  model.modified_unix_s =
      stored.pulled_unix_s > 0 ? stored.pulled_unix_s : ModifiedUnixS(stored.path);
  if (stored.digest.starts_with(kSha256)) model.sha256 = stored.digest.substr(kSha256.size());
  model.license = stored.license;
  return model;
}

// What clients call the model: its name, or of a path the file's name.
std::string NameOf(const std::string& model) {
  std::string name = model.substr(model.rfind('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? model : name;
}

}  // namespace

Result<StoreCatalog> StoreCatalog::Open(const std::string& folder, const std::string& own,
                                        LocateFn locate, HubOptions hub) {
  StoreCatalog catalog(folder, std::move(locate), std::move(hub));
  if (own.empty()) return catalog;
  LULL_ASSIGN_OR_RETURN(const std::string path, catalog.store_.Resolve(own));
  const Result<StoredModel> stored = catalog.store_.Find(own);
  catalog.own_ = stored.ok() && stored->path == path
                     ? Describe(*stored)
                     : DescribeFile(CanonicalModelName(NameOf(own)), path);
  return catalog;
}

std::vector<AvailableModel> StoreCatalog::List() const {
  std::vector<AvailableModel> models;
  if (!own_.name.empty()) models.push_back(own_);
  for (const StoredModel& stored : store_.List())
    if (stored.name != own_.name && !stored.path.empty()) models.push_back(Describe(stored));
  return models;
}

Result<AvailableModel> StoreCatalog::Find(const std::string& name) const {
  const std::string wanted = StoreName(name);
  if (!own_.name.empty() && wanted == own_.name) return own_;
  const Result<StoredModel> stored = store_.Find(name);
  if (stored.ok() && !stored->path.empty()) return Describe(*stored);
  return Error{ErrorCode::kNotFound, "model '" + name.substr(0, 200) + "' not found", "model",
               stored.ok() ? "lull pull " + name.substr(0, 200) : stored.error().hint};
}

Result<AvailableModel> StoreCatalog::Offer(const std::string& name) const {
  const Result<ModelSource> source = FindModelSource(name);
  if (!source.ok())
    return Error{ErrorCode::kNotFound, "no model '" + name.substr(0, 200) + "' to pull", "model",
                 source.error().hint};
  if (source->entry == nullptr) {
    AvailableModel model;
    model.name = source->name.empty() ? source->hub.Name() : source->name;
    return model;
  }
  AvailableModel model = DescribeFile(source->name, store_.CatalogPath(*source->entry));
  model.bytes = static_cast<int64_t>(source->entry->file_bytes);
  model.sha256 = source->entry->sha256;
  model.license = source->entry->license;
  return model;
}

Result<AvailableModel> StoreCatalog::Pull(const std::string& name, const ProgressFn& progress) {
  const Result<ModelSource> source = FindModelSource(name);
  if (!source.ok()) return Offer(name).status();
  const std::vector<PullOutcome> outcomes =
      store_.PullModels({*source}, 1, [&](const PullEvent& event) {
        const std::string step = event.note.empty() ? event.what : event.what + ": " + event.note;
        return event.finished || progress(step, event.done_bytes, event.total_bytes);
      });
  LULL_RETURN_IF_ERROR(outcomes[0].status);
  return Find(outcomes[0].name);
}

Status StoreCatalog::Copy(const std::string& from, const std::string& to) {
  return store_.Copy(from, to);
}

Status StoreCatalog::Remove(const std::string& name) {
  const std::string wanted = StoreName(name);
  if (wanted == own_.name)
    return Status(ErrorCode::kUsage,
                  "'" + wanted + "' is the model that this server was started with", "model",
                  "stop the server, then lull rm " + wanted);
  LULL_RETURN_IF_ERROR(Find(wanted).status());
  return store_.Remove(wanted);
}

}  // namespace lull
