// Several models fetched at once: each is listed, its files are fetched, then its name stands.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/blob_store.h"
#include "store/hub.h"
#include "store/model_ref.h"

namespace lull {

struct PullEvent {
  size_t model = 0;  // which of those asked for
  std::string what;  // a file's name, or a step ("listing", "locating x"); a row of its own
  std::string note;  // what is waited for; "": bytes move
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;  // 0: unknown
  bool finished = false;     // nothing more of this row
};
// Told about ten times a second of every row, one call at a time, by any thread. False: give up
// all.
using PullObserver = std::function<bool(const PullEvent&)>;

struct PullOutcome {
  Status status;
  std::string name;  // in the store; of the rest where status is ok
  std::string path;  // what loads
  std::string license;
  std::string note;  // what was chosen where the name left it open
  uint64_t bytes = 0;
};

struct PullQueueOptions {
  std::string folder;
  HubOptions hub;
  int jobs = 1;  // files at once; with 1 no thread is started
};

using PullCatalogFn = std::function<Result<std::string>(
    const CatalogEntry& entry,
    const std::function<bool(const std::string& step, uint64_t done_bytes, uint64_t total_bytes)>&
        progress)>;

// One outcome for each source, in order. A model that fails ends itself and no other. catalog:
// fetches the entries of the catalogue.
std::vector<PullOutcome> PullAll(const std::vector<ModelSource>& sources,
                                 const PullQueueOptions& options, const PullCatalogFn& catalog,
                                 const PullObserver& observer);

}  // namespace lull
