// The models that the server answers with, by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lull/engine.h"
#include "lull/model.h"
#include "lull/status.h"
#include "service/model_catalog.h"

namespace lull {

// One loaded model. Who holds it keeps it loaded.
struct ServedModel {
  std::string id;  // as /v1/models shows it
  std::shared_ptr<Model> model;
  std::shared_ptr<Engine> engine;  // never destroyed from within its own events
  int64_t created_unix_s = 0;
  int64_t resident_bytes = 0;  // weights and KV pool
  bool own = false;            // the server's own, which adapters are of
  AvailableModel file;         // empty where the hub was not told
};
using ServedModelPtr = std::shared_ptr<const ServedModel>;

// What a request wants of the hub.
struct ModelQuery {
  std::string name;  // "": the server's own
  // How long after its last use the model stays loaded; 0: no longer than that, below 0: for ever.
  // From now on, for all its requests; absent: as it is.
  std::optional<int64_t> keep_alive_ms;
  bool exact = false;              // an unknown name is kNotFound even where the server has its own
  std::stop_token abandoned = {};  // the client has gone: no need to load for it
};

// A loaded model, seen by who wants to show it.
struct ModelResidency {
  ServedModelPtr served;
  bool in_use = false;
  int64_t expires_in_ms = -1;  // until it is unloaded, if nobody uses it; -1: never
};

// Thread-safe. Outlives every request and every ServedModelPtr.
class ModelHub {
 public:
  using AcquireFn = std::function<void(Result<ServedModelPtr>)>;

  virtual ~ModelHub() = default;
  // fn is called once, from here or later from another thread, never from an engine's.
  virtual void Acquire(const ModelQuery& query, AcquireFn fn) = 0;
  void Acquire(const std::string& name, AcquireFn fn) {
    ModelQuery query;
    query.name = name;
    Acquire(query, std::move(fn));
  }
  // What is loaded now, the server's own first.
  virtual std::vector<ModelResidency> Residents() const = 0;
  std::vector<ServedModelPtr> Loaded() const;
  // The server's own, loaded or not; "" where it has none.
  virtual std::string own_name() const = 0;
  // Of all engines, those of unloaded models included: counters never fall.
  virtual EngineStats stats() const;
  // As soon as nobody uses it; false where no such model is loaded.
  virtual bool Unload(const std::string& name) = 0;
};

// sum += stats, but for what cannot be added.
void AddStats(const EngineStats& stats, EngineStats* sum);

// One model, whatever a request calls it. Model and engine outlive the hub and every request.
class SingleModelHub : public ModelHub {
 public:
  SingleModelHub(std::string id, Model& model, Engine& engine, int64_t created_unix_s)
      : served_(std::make_shared<ServedModel>(ServedModel{
            std::move(id), Borrowed(model), Borrowed(engine), created_unix_s, 0, true, {}})) {}
  using ModelHub::Acquire;
  void Acquire(const ModelQuery&, AcquireFn fn) override { fn(served_); }
  std::vector<ModelResidency> Residents() const override { return {{served_, false, -1}}; }
  std::string own_name() const override { return served_->id; }
  bool Unload(const std::string&) override { return false; }

 private:
  template <typename T>
  static std::shared_ptr<T> Borrowed(T& object) {
    return {std::shared_ptr<void>(), &object};
  }

  const ServedModelPtr served_;
};

}  // namespace lull
