#include "service/adapters.h"

#include <algorithm>
#include <cmath>

namespace lull {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr double kMaxScale = 1e6;

Status Bad(const std::string& message, const char* where) {
  return Status(ErrorCode::kUsage, message, where);
}

Status CheckName(const std::string& name) {
  const auto odd = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (!name.empty() && name.size() <= kMaxNameBytes && std::none_of(name.begin(), name.end(), odd))
    return Status();
  return Bad("an adapter's name has 1 to 256 bytes and no control characters", "lora_name");
}

bool IsScale(const Json& value) {
  return value.is_number() && std::abs(value.get<double>()) <= kMaxScale;
}

}  // namespace

Status ServedAdapters::Add(const Model& model, const std::string& name, const std::string& path,
                           double scale) {
  LULL_RETURN_IF_ERROR(CheckName(name));
  if (Has(name)) return Bad("an adapter of the name " + name + " is loaded", "lora_name");
  LULL_ASSIGN_OR_RETURN(std::shared_ptr<const Adapter> adapter, open_(path, model));
  std::lock_guard<std::mutex> lock(mutex_);
  const auto same = [&](const ServedAdapter& entry) { return entry.name == name; };
  if (std::any_of(entries_.begin(), entries_.end(), same))
    return Bad("an adapter of the name " + name + " is loaded", "lora_name");
  entries_.push_back({next_id_++, name, path, scale, std::move(adapter)});
  return Status();
}

Status ServedAdapters::AddForClient(const Model& model, const std::string& name,
                                    const std::string& path) {
  if (locate_ == nullptr)
    return Status(ErrorCode::kUnsupported, "this server loads no adapters for clients", "lora_path",
                  "start it with --lora-folder FOLDER");
  LULL_ASSIGN_OR_RETURN(const std::string file, locate_(path));
  return Add(model, name, file, 0.0);
}

bool ServedAdapters::Remove(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::erase_if(entries_, [&](const auto& entry) { return entry.name == name; }) > 0;
}

bool ServedAdapters::Has(const std::string& name) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const auto& entry) { return entry.name == name; });
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
  for (ServedAdapter& entry : entries_) {
    entry.scale = 0.0;
    for (const auto& [id, scale] : scales)
      if (id == entry.id) entry.scale = scale;
  }
  return Status();
}

Result<AdapterUse> ServedAdapters::UseOf(const Model& model, const ServedAdapter& entry,
                                         double scale) {
  if (entry.adapter->Fits(model)) return AdapterUse{entry.adapter, scale};
  LULL_ASSIGN_OR_RETURN(std::shared_ptr<const Adapter> anew, open_(entry.path, model));
  std::lock_guard<std::mutex> lock(mutex_);
  for (ServedAdapter& known : entries_)
    if (known.id == entry.id) known.adapter = anew;
  return AdapterUse{std::move(anew), scale};
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
    uses.push_back(std::move(use));
  }
  return uses;
}

Result<std::vector<AdapterUse>> ServedAdapters::Choose(const Model& model, const std::string& name,
                                                       const Json* lora) {
  if (lora != nullptr && !lora->is_null()) return Listed(model, *lora);
  const std::vector<ServedAdapter> entries = List();
  const bool by_name = std::any_of(entries.begin(), entries.end(),
                                   [&](const auto& entry) { return entry.name == name; });
  std::vector<AdapterUse> uses;
  for (const ServedAdapter& entry : entries) {
    const double scale = !by_name ? entry.scale : entry.name == name ? 1.0 : 0.0;
    if (scale == 0.0) continue;
    LULL_ASSIGN_OR_RETURN(AdapterUse use, UseOf(model, entry, scale));
    uses.push_back(std::move(use));
  }
  return uses;
}

}  // namespace lull
