// Whole lines appended to a file that other processes append to as well. Thread-safe.
#pragma once

#include <string>

#include "lull/status.h"

namespace lull::os {

// Appends line and a newline, and returns once they are on the disk. On failure nothing of the
// line stays behind. Where a crash of someone else left the last line unfinished, that line is
// ended first. Requires: no newline inside line.
Status AppendLine(const std::string& path, const std::string& line);

}  // namespace lull::os
