#include "service/adapters.h"

#include <algorithm>
#include <cmath>

#include "chat/text.h"
#include "service/endpoint.h"
#include "service/model_catalog.h"

namespace lull {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr double kMaxScale = 1e6;

Status Bad(const std::string& message, const char* where) {
  return Status(ErrorCode::kUsage, message, where);
}

Status CheckName(const std::string& name) {
  const auto odd = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  const bool good = !name.empty() && name.size() <= kMaxNameBytes &&
                    std::none_of(name.begin(), name.end(), odd) && jinja::ValidUtf8(nullptr, name);
  if (good) return Status();
  return Bad("an adapter's name is 1 to 256 bytes of UTF-8 without control characters",
             "lora_name");
}

Status NotForClients() {
  return Status(ErrorCode::kUnsupported, "this server lets clients load and unload no adapters",
                "lora_name", "start it with --lora-folder FOLDER");
}

// A file that a client named is the client's mistake, and where it lies the server's business: of
// the place what stands behind the path is told.
Error ForClient(Error error, const std::string& path) {
  if (error.code == ErrorCode::kInvalidModel) error.code = ErrorCode::kInvalidInput;
  std::string inside = error.where.starts_with(path) ? error.where.substr(path.size()) : "";
  inside.erase(0, inside.find_first_not_of("/: "));
  if (!inside.empty()) error.message += " (" + inside + ")";
  error.where = "lora_path";
  return error;
}

bool IsScale(const Json& value) {
  return value.is_number() && std::abs(value.get<double>()) <= kMaxScale;
}

}  // namespace

std::string ServedAdapter::file_name() const {
  const size_t end = path.find_last_not_of('/') + 1;  // a folder's path may end in one
  const size_t slash = path.find_last_of('/', end == 0 ? 0 : end - 1);
  return path.substr(slash + 1, end - slash - 1);
}

Status ServedAdapters::Add(const Model& model, const std::string& given, const std::string& path,
                           double scale) {
  const std::string name = CanonicalModelName(given);
  LULL_RETURN_IF_ERROR(CheckName(name));
  if (is_model_ && is_model_(name)) return Bad("a model has the name " + name, "lora_name");
  const Status taken = Bad("an adapter of the name " + name + " is loaded", "lora_name");
  if (Find(name).has_value()) return taken;
  Result<std::shared_ptr<const Adapter>> adapter = open_(path, model);
  if (!adapter.ok()) return adapter.error();
  const AdapterInfo& info = (*adapter)->info();
  std::lock_guard<std::mutex> lock(mutex_);
  const auto same = [&](const ServedAdapter& entry) { return entry.name == name; };
  if (std::any_of(entries_.begin(), entries_.end(), same)) return taken;
  const auto applied = std::count_if(entries_.begin(), entries_.end(),
                                     [](const auto& entry) { return entry.scale != 0.0; });
  if (scale != 0.0 && static_cast<size_t>(applied) >= kMaxAdapters)
    return Bad("more than " + std::to_string(kMaxAdapters) + " adapters for every request",
               "--lora");
  if (entries_.size() >= kMaxServedAdapters)
    return Bad("there are " + std::to_string(entries_.size()) + " adapters already", "lora_name");
  entries_.push_back({next_id_++, name, path, scale, info.rank, info.bytes, std::move(*adapter)});
  return Status();
}

Status ServedAdapters::AddForClient(const Model& model, const std::string& name,
                                    const std::string& path) {
  if (locate_ == nullptr) return NotForClients();
  LULL_ASSIGN_OR_RETURN(const std::string file, locate_(path));
  const Status status = Add(model, name, file, 0.0);
  if (status.ok() || status.error().where == "lora_name") return status;
  return ForClient(status.error(), file);
}

Status ServedAdapters::RemoveForClient(const std::string& name) {
  if (locate_ == nullptr) return NotForClients();
  const std::string canonical = CanonicalModelName(name);
  std::lock_guard<std::mutex> lock(mutex_);
  if (std::erase_if(entries_, [&](const auto& entry) { return entry.name == canonical; }) > 0)
    return Status();
  return Status(ErrorCode::kNotFound, "no adapter " + name.substr(0, 200), "lora_name",
                "GET /lora-adapters lists them");
}

std::optional<ServedAdapter> ServedAdapters::Find(const std::string& name) const {
  const std::string canonical = CanonicalModelName(name);
  std::lock_guard<std::mutex> lock(mutex_);
  for (const ServedAdapter& entry : entries_)
    if (entry.name == canonical) return entry;
  return std::nullopt;
}

std::vector<ServedAdapter> ServedAdapters::List() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return entries_;
}

Status ServedAdapters::SetScales(const std::vector<std::pair<int64_t, double>>& scales) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, scale] : scales)
    if (std::none_of(entries_.begin(), entries_.end(),
                     [id = id](const auto& entry) { return entry.id == id; }))
      return Bad("no adapter has the id " + std::to_string(id), "id");
  if (scales.size() > kMaxAdapters)
    return Bad("at most " + std::to_string(kMaxAdapters) + " adapters together", "scale");
  for (ServedAdapter& entry : entries_) {
    entry.scale = 0.0;
    for (const auto& [id, scale] : scales)
      if (id == entry.id) entry.scale = scale;
  }
  return Status();
}

// The old one goes before the new one comes: there may be no room for both.
Result<AdapterUse> ServedAdapters::UseOf(const Model& model, ServedAdapter entry, double scale) {
  if (entry.adapter != nullptr && entry.adapter->Fits(model))
    return AdapterUse{std::move(entry.adapter), scale};
  const auto keep = [&](const std::shared_ptr<const Adapter>& adapter) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (ServedAdapter& known : entries_)
      if (known.id == entry.id) known.adapter = adapter;
  };
  entry.adapter = nullptr;
  keep(nullptr);
  Result<std::shared_ptr<const Adapter>> anew = open_(entry.path, model);
  if (!anew.ok()) {
    Error error = anew.error();
    error.where = "model";  // not the path
    return error;
  }
  keep(*anew);
  return AdapterUse{std::move(*anew), scale};
}

Result<std::vector<AdapterUse>> ServedAdapters::Listed(const Model& model, const Json& lora) {
  constexpr const char* kForm = "must be a list of {\"id\": number or \"name\": text, \"scale\"}";
  if (!lora.is_array() || lora.size() > kMaxAdapters)
    return Bad(std::string("lora: ") + kForm + ", at most " + std::to_string(kMaxAdapters), "lora");
  const std::vector<ServedAdapter> entries = List();
  std::vector<AdapterUse> uses;
  for (const Json& one : lora) {
    if (!one.is_object()) return Bad(std::string("lora: ") + kForm, "lora");
    const Json id = one.value("id", Json()), name = one.value("name", Json());
    const Json scale = one.value("scale", Json(1.0));
    if (!IsScale(scale)) return Bad("lora: scale must be a number up to 1e6", "lora.scale");
    const auto entry =
        std::find_if(entries.begin(), entries.end(), [&](const ServedAdapter& known) {
          return (id.is_number_integer() && id == known.id) ||
                 (name.is_string() && name == known.name);
        });
    if (entry == entries.end())
      return Bad(
          "lora: " + one.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 200) +
              " names no adapter that is loaded",
          "lora");
    LULL_ASSIGN_OR_RETURN(AdapterUse use, UseOf(model, *entry, scale.get<double>()));
    const auto again = [&](const AdapterUse& known) { return known.adapter == use.adapter; };
    if (std::any_of(uses.begin(), uses.end(), again))
      return Bad("lora: " + entry->name + " stands there twice", "lora");
    uses.push_back(std::move(use));
  }
  return uses;
}

Result<std::vector<AdapterUse>> ServedAdapters::Choose(const Model& model,
                                                       const std::optional<ServedAdapter>& named,
                                                       const Json* lora) {
  if (lora != nullptr && !lora->is_null()) return Listed(model, *lora);
  std::vector<AdapterUse> uses;
  if (named.has_value()) {
    LULL_ASSIGN_OR_RETURN(AdapterUse use, UseOf(model, *named, 1.0));
    uses.push_back(std::move(use));
    return uses;
  }
  for (const ServedAdapter& entry : List()) {
    if (entry.scale == 0.0) continue;
    LULL_ASSIGN_OR_RETURN(AdapterUse use, UseOf(model, entry, entry.scale));
    uses.push_back(std::move(use));
  }
  return uses;
}

std::optional<ServedAdapter> FindAdapter(const Service& service, const std::string& name) {
  return service.adapters == nullptr ? std::nullopt : service.adapters->Find(name);
}

}  // namespace lull
