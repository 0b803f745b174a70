// Whether what is to be written fits.
#pragma once

#include <cstdint>
#include <string>

#include "lull/status.h"

namespace lull {

// kIo with both numbers where folder's file system has less than bytes and some to spare. Requires:
// the folder exists.
Status CheckDiskSpace(const std::string& folder, uint64_t bytes);

}  // namespace lull
