// How long a model stays loaded after its last use, as clients and flags say it.
#pragma once

#include <cstdint>
#include <string>

#include "lull/status.h"
#include "service/json_request.h"

namespace lull {

// "5m", "1h30m", "1.5h", "250ms" (units ns, us, ms, s, m, h), a bare number of seconds; below 0
// with or without a unit: for ever. Milliseconds; -1 for ever. kUsage otherwise.
Result<int64_t> ParseKeepAlive(const std::string& text);
// The same of a JSON string or a number of seconds.
Result<int64_t> ParseKeepAlive(const Json& value);

}  // namespace lull
