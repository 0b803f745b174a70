// Reads one member out of a zip archive (a Python wheel): stored or deflated, zip64 not needed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "lull/status.h"

namespace lull {

// Hands the member's bytes to sink in order. CRC and sizes are checked; a sink error stops.
Status ExtractZipMember(const std::string& archive_path, const std::string& member,
                        const std::function<Status(const uint8_t* data, size_t size)>& sink);

}  // namespace lull
