// The evidence file: one JSON object a line, one line a run, only ever appended to.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lull/status.h"

namespace lull {

// What every record has: adds "time" (UTC, ISO 8601), "machine", "commit", "lull_version" and
// "arithmetic_version" where the record lacks them.
void Complete(nlohmann::json* record);

// Completes the record and appends it durably, unsigned. Requires: record is an object.
Status AppendRecord(const std::string& path, const nlohmann::json& record);

// The current time, e.g. "2026-01-31T12:00:00Z".
std::string UtcNow();

}  // namespace lull
