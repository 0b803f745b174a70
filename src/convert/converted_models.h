// GGUF files of folders of safetensors, written once and kept: <root>/<key>/NAME.gguf, and beside
// it the path of the folder. The key says which state of the folder it was (HfFolderKey).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct ConvertedModel {
  std::string folder;  // what it was made of; may be gone
  std::string path;    // of the GGUF file
  uint64_t bytes = 0;  // with what lies beside it
};

// Several processes may share a root. Thread-safe.
class ConvertedModels {
 public:
  explicit ConvertedModels(std::string root) : root_(std::move(root)) {}

  struct Watch {
    std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
    std::function<void()> waiting;  // for another process that converts
  };
  // The path for the folder as it is now: converts where that was not done yet, and removes what
  // an earlier state of it became. name: of the model; "": the folder's.
  Result<std::string> Get(const std::string& folder, const std::string& name,
                          const Watch& watch) const;
  // "" where it was not converted, or has changed since.
  std::string Find(const std::string& folder) const;
  std::vector<ConvertedModel> List() const;
  // What a folder became; how many files. The folder need not be there.
  Result<int> Remove(const std::string& folder) const;
  // Those of folders below `parent` that are gone.
  Status RemoveGone(const std::string& parent) const;

 private:
  Result<int> RemoveThose(const std::function<bool(const ConvertedModel&)>& chosen) const;

  std::string root_;
};

}  // namespace lull
