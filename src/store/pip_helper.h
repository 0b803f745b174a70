// pip for a process that starts no programs (base/os/sandbox.h): a helper process asks it.
#pragma once

#include <memory>
#include <string>

#include "base/os/helper_process.h"
#include "store/store.h"

namespace lull {

// All that the helper takes is the name of a catalog model, all that it gives are the places of
// that model's packages. Fetching and unpacking stay with the process that asks: inside its
// sandbox and its CPU budget.
class PipHelper {
 public:
  // folder: the store's. Requires: this process has one thread.
  static Result<std::unique_ptr<PipHelper>> Start(const std::string& folder,
                                                  const os::HelperProcess::Limits& limits = {});
  // As Store::Locate, and errors of the helper. Thread-safe.
  Result<PackageFiles> Locate(const CatalogEntry& entry, const PullProgressFn& progress);
  int pid() const { return process_->pid(); }

 private:
  PipHelper() = default;
  std::unique_ptr<os::HelperProcess> process_;
};

}  // namespace lull
