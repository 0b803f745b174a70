// What the dashboard and `lull status` show: the server's state as one JSON object.
#pragma once

#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {

// docs/guides/dashboard.md names the fields. Requires: service.load is set.
Json DashStats(Service& service, const HttpRequest& request);

// The last record of an evidence file: {"file", "id", "kind", "verdict", "time"}, each "" where the
// record has none. null where the file cannot be read or its last line is no record.
Json LastEvidence(const std::string& path);

}  // namespace lull
