// The LoRA adapters that the server's own model answers with: each by its name, as if it were a
// model, or through a request's field `lora`. They come and go while the server runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
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
  int64_t rank = 0, bytes = 0;
  std::shared_ptr<const Adapter> adapter;  // null: to be loaded anew, its model was

  std::string file_name() const;  // the path's last part: where it lies is the server's business
};

inline constexpr size_t kMaxServedAdapters = 256;

// Thread-safe.
class ServedAdapters {
 public:
  using OpenFn = std::function<Result<std::shared_ptr<const Adapter>>(const std::string& path,
                                                                      const Model& model)>;
  // Of a path that a client names: the file it means, where clients may name it.
  using LocateFn = std::function<Result<std::string>(const std::string& path)>;
  // Whether a model has that name, which then no adapter may have.
  using IsModelFn = std::function<bool(const std::string& name)>;

  // locate null: clients neither load nor unload.
  ServedAdapters(OpenFn open, LocateFn locate, IsModelFn is_model)
      : open_(std::move(open)), locate_(std::move(locate)), is_model_(std::move(is_model)) {}

  // Under its canonical name. kUsage where that is taken or none, or there are too many; the file's
  // errors.
  Status Add(const Model& model, const std::string& name, const std::string& path, double scale);
  // The same for a client, without scale: whoever names it gets it.
  Status AddForClient(const Model& model, const std::string& name, const std::string& path);
  // Requests that have it go on with it. kNotFound; kUnsupported where clients may not.
  Status RemoveForClient(const std::string& name);
  // Under its name, with or without Ollama's ":latest"; absent where there is none.
  std::optional<ServedAdapter> Find(const std::string& name) const;
  std::vector<ServedAdapter> List() const;
  // Of those named; of all others 0. kUsage where an id is unknown; then nothing changes.
  Status SetScales(const std::vector<std::pair<int64_t, double>>& scales);

  // What a request gets: of its list of {"id" or "name", "scale"} (lora, which says it all), else
  // the one it called its model by (named, found when it came), else all with a scale. A model
  // loaded anew loads its adapters anew.
  Result<std::vector<AdapterUse>> Choose(const Model& model,
                                         const std::optional<ServedAdapter>& named,
                                         const Json* lora);

 private:
  Result<AdapterUse> UseOf(const Model& model, ServedAdapter entry, double scale);
  Result<std::vector<AdapterUse>> Listed(const Model& model, const Json& lora);

  const OpenFn open_;
  const LocateFn locate_;
  const IsModelFn is_model_;
  mutable std::mutex mutex_;
  std::vector<ServedAdapter> entries_;  // guarded by mutex_
  int64_t next_id_ = 0;                 // guarded by mutex_
};

// The server's adapter of that name; absent where there is none.
struct Service;
std::optional<ServedAdapter> FindAdapter(const Service& service, const std::string& name);

}  // namespace lull
