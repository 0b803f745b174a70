// The models that the server answers with, by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lull/engine.h"
#include "lull/model.h"
#include "lull/status.h"

namespace lull {

// One loaded model. Who holds it keeps it loaded.
struct ServedModel {
  std::string id;  // as /v1/models shows it
  std::shared_ptr<Model> model;
  std::shared_ptr<Engine> engine;  // never destroyed from within its own events
  int64_t created_unix_s = 0;
};
using ServedModelPtr = std::shared_ptr<const ServedModel>;

// Thread-safe. Outlives every request.
class ModelHub {
 public:
  using AcquireFn = std::function<void(Result<ServedModelPtr>)>;

  virtual ~ModelHub() = default;
  // The model that a request names; "": the server's own. fn is called once, from here or later
  // from another thread, never from an engine's.
  virtual void Acquire(const std::string& name, AcquireFn fn) = 0;
  // What is loaded now, the server's own first.
  virtual std::vector<ServedModelPtr> Loaded() const = 0;
};

// One model, whatever a request calls it. Model and engine outlive the hub and every request.
class SingleModelHub : public ModelHub {
 public:
  SingleModelHub(std::string id, Model& model, Engine& engine, int64_t created_unix_s)
      : served_(std::make_shared<ServedModel>(
            ServedModel{std::move(id), Borrowed(model), Borrowed(engine), created_unix_s})) {}
  void Acquire(const std::string&, AcquireFn fn) override { fn(served_); }
  std::vector<ServedModelPtr> Loaded() const override { return {served_}; }

 private:
  template <typename T>
  static std::shared_ptr<T> Borrowed(T& object) {
    return {std::shared_ptr<void>(), &object};
  }

  const ServedModelPtr served_;
};

}  // namespace lull
