// One HTTP(S) file to disk: resumes a partial file by range, checks SHA-256, renames at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "lull/status.h"

namespace lull {

// Bytes done and in total (0 where unknown); called about ten times a second. False: give up.
using ProgressFn = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

// Writes PATH.partial, then renames it to path. A partial file from before is continued where the
// server honours ranges, else started again. A wrong hash removes the partial file.
// kCancelled where progress gave up: the partial file stays for the next time.
Status DownloadFile(const std::string& url, const std::string& sha256, const std::string& path,
                    const ProgressFn& progress);

}  // namespace lull
