#include "convert/hf_config.h"

#include <cmath>
#include <string_view>

#include "base/json_text.h"

namespace lull {
namespace {

using Json = nlohmann::json;

// The first of "a|b|c"; the others stay in names.
std::string TakeName(std::string_view* names) {
  const size_t bar = names->find('|');
  const std::string first(names->substr(0, bar));
  names->remove_prefix(bar == std::string_view::npos ? names->size() : bar + 1);
  return first;
}

}  // namespace

bool IsOneOf(const char* names, const std::string& name) {
  for (std::string_view left = names; !left.empty();)
    if (TakeName(&left) == name) return true;
  return false;
}

const Json& HfConfig::Field(const char* names) const {
  const Json* last = nullptr;
  for (std::string_view left = names; !left.empty();) {
    last = &JsonField(folder_.config, TakeName(&left).c_str());
    if (!last->is_null()) break;
  }
  return *last;
}

Result<uint64_t> HfConfig::Uint(const char* names) const {
  const Json& value = Field(names);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX)
    return Bad("a number from 0 to 4294967295 is needed there", names);
  return value.get<uint64_t>();
}

Result<double> HfConfig::Number(const char* names) const {
  const Json& value = Field(names);
  if (!value.is_number() || !(std::abs(value.get<double>()) <= 1e30))
    return Bad("a number is needed there", names);
  return value.get<double>();
}

Status HfConfig::Bad(const std::string& message, const std::string& key) const {
  return Status(ErrorCode::kInvalidInput, message, folder_.path + "/config.json: " + key);
}

Status HfConfig::Unsupported(const std::string& message, const std::string& key,
                             const std::string& hint) const {
  return Status(ErrorCode::kUnsupported, message, folder_.path + "/config.json: " + key, hint);
}

}  // namespace lull
