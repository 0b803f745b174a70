// JSON text to a document whose objects keep their order, within limits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/work_meter.h"
#include "lull/status.h"

namespace lull::grammar {

using Json = nlohmann::ordered_json;

// kInvalidInput: not JSON, more than 512 KiB, nested more than 64 deep, an object of more than
// 2000 members or with the same name twice, a text that is not UTF-8.
Result<Json> ParseJsonDocument(WorkMeter* meter, std::string_view text);

// On one line, without blanks.
std::string ToText(const Json& value);

}  // namespace lull::grammar
