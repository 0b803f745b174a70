// JSON from outside: its depth is checked before a tree is built.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lull/status.h"

namespace lull {

// what: names the text in errors. kInvalidInput.
Result<nlohmann::json> ParseJsonText(std::string_view text, const std::string& what);
// A field of an object; null where it is none or has none of that name.
const nlohmann::json& JsonField(const nlohmann::json& object, const char* name);
// "" where the field is no string.
std::string JsonText(const nlohmann::json& object, const char* name);

}  // namespace lull
