// A hub that loads models when a request asks for them and unloads them when nobody has for a
// while. One thread loads and unloads; it sleeps without a timer unless a loaded model has a time
// to go at (docs/design/ollama.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lull/runtime.h"
#include "service/model_hub.h"

namespace lull {

struct OnDemandOptions {
  std::string own;                  // answers where a request names no model, or an unknown one
  int64_t keep_alive_ms = 300'000;  // of models that requests load; the own one stays
  int max_loaded = 3;               // 0: as many as memory holds
  int64_t ram_bytes = 0;            // for all models' files and KV pools together; 0: no limit
  int max_waiting = 256;            // requests that wait for loading; more are refused with kBusy
};

class OnDemandHub : public ModelHub {
 public:
  // On the hub's thread. kOutOfMemory: tried again when another model has gone.
  using LoadFn = std::function<Result<ServedModel>(const AvailableModel& file)>;

  // The catalog outlives the hub. Where start_status() is an error nothing will be loaded.
  OnDemandHub(const OnDemandOptions& options, const ModelCatalog& catalog, LoadFn load);
  // Cancels the requests of all models, waits for the last ServedModelPtr to go, and for a load
  // under way.
  ~OnDemandHub() override;
  const Status& start_status() const;

  using ModelHub::Acquire;
  void Acquire(const ModelQuery& query, AcquireFn fn) override;
  std::vector<ModelResidency> Residents() const override;
  std::string own_name() const override;
  EngineStats stats() const override;
  bool Unload(const std::string& name) override;
  // From now on nothing is acquired: when this returns, no callback gets a model any more (those
  // that wait get kBusy). Requests under way go on. Not from within a callback.
  void Drain();

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

// What the server's hub does to load: the model and an engine of these options.
OnDemandHub::LoadFn EngineLoader(Runtime& runtime, const EngineOptions& options);

}  // namespace lull
