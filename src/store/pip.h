// Where a Python package's file lies, in pip's own words.
#pragma once

#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct PackageFile {
  std::string url;
  std::string sha256;
};

// Asks pip under whatever index and proxy the user configured; nothing is installed. An older pip
// downloads the whole file to make its report, so where one is found, a current pip is fetched into
// a scratch folder first (about 2 MiB) and asked instead; that folder goes with the object.
class PipLocator {
 public:
  explicit PipLocator(std::string scratch_folder) : scratch_folder_(std::move(scratch_folder)) {}
  ~PipLocator();
  PipLocator(const PipLocator&) = delete;
  PipLocator& operator=(const PipLocator&) = delete;

  Result<PackageFile> Locate(const std::string& package);

 private:
  Status ChoosePip();

  std::string scratch_folder_;
  std::vector<std::string> pip_;  // the command that starts pip; empty until chosen
  bool reads_ranges_ = false;     // reports without downloading the file
};

// "pip 25.3 from ..." has a pip that reports by ranged reads.
bool PipReadsRanges(const std::string& version_line);

}  // namespace lull
