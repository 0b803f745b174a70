// The LoRA adapters that the server's own model answers with: each by its name, as if it were a
// model, or through a request's field `lora`. They come and go while the server runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lull/adapter.h"
#include "lull/model.h"
#include "lull/request.h"
#include "lull/status.h"
#include "service/json_request.h"

namespace lull {

struct ServedAdapter {
  int64_t id = 0;  // in the order they came; not used again
  std::string name;
  std::string path;
  double scale = 0.0;  // for requests that say nothing of adapters
  std::shared_ptr<const Adapter> adapter;
};

// Thread-safe.
class ServedAdapters {
 public:
  using OpenFn = std::function<Result<std::shared_ptr<const Adapter>>(const std::string& path,
                                                                      const Model& model)>;
  // Of a path that a client names: the file it means, where clients may name it.
  using LocateFn = std::function<Result<std::string>(const std::string& path)>;

  ServedAdapters(OpenFn open, LocateFn locate)
      : open_(std::move(open)), locate_(std::move(locate)) {}

  // kUsage where the name is taken or none; the file's errors.
  Status Add(const Model& model, const std::string& name, const std::string& path, double scale);
  // The same for a client, without scale: whoever names it gets it.
  Status AddForClient(const Model& model, const std::string& name, const std::string& path);
  // Requests that have it go on with it. False: there is none.
  bool Remove(const std::string& name);
  bool Has(const std::string& name) const;
  std::vector<ServedAdapter> List() const;
  // Of those named; of all others 0. kUsage where an id is unknown; then nothing changes.
  Status SetScales(const std::vector<std::pair<int64_t, double>>& scales);

  // What a request gets that calls its model so. lora: null, or its list of {"id" or "name",
  // "scale"}, which then says it all. A model loaded anew loads its adapters anew.
  Result<std::vector<AdapterUse>> Choose(const Model& model, const std::string& name,
                                         const Json* lora);

 private:
  Result<AdapterUse> UseOf(const Model& model, const ServedAdapter& entry, double scale);
  Result<std::vector<AdapterUse>> Listed(const Model& model, const Json& lora);

  const OpenFn open_;
  const LocateFn locate_;
  mutable std::mutex mutex_;
  std::vector<ServedAdapter> entries_;  // guarded by mutex_
  int64_t next_id_ = 0;                 // guarded by mutex_
};

}  // namespace lull
