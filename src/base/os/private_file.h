// Small files that hold secrets. Thread-safe.
#pragma once

#include <string>

#include "lull/status.h"

namespace lull::os {

struct PrivateText {
  std::string text;
  bool others_may_read = false;  // the group, or everybody
};
// kInvalidInput where it is longer than a MiB.
Result<PrivateText> ReadPrivateFile(const std::string& path);
// Appends a line to a file that is made, where there is none, for its owner alone, and returns
// once it is on the disk.
Status AppendPrivateLine(const std::string& path, const std::string& line);

}  // namespace lull::os
