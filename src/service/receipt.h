// What a request cost, as every answer shows it beside the standard fields.
#pragma once

#include <string>
#include <vector>

#include "lull/request.h"
#include "service/json_request.h"

namespace lull {

// The "lull" object. Milliseconds of wall time but for cpu_ms, which is CPU time of the process.
Json Receipt(const std::string& request_id, const RequestStats& stats);

// Of the engine's requests that answer one client's: what adds up is summed, times that overlap are
// the longest.
RequestStats TotalOf(const std::vector<RequestStats>& parts);

}  // namespace lull
