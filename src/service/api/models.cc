#include <set>

#include "service/adapters.h"
#include "service/endpoint.h"
#include "service/json_request.h"
#include "service/ollama/ollama.h"

namespace lull {
namespace {

Json Describe(const ServedModel& served) {
  return {{"id", served.id},
          {"object", "model"},
          {"created", served.created_unix_s},
          {"owned_by", "lull"},
          {"max_model_len", served.engine->max_context_tokens()}};
}

Json Describe(const AvailableModel& file) {
  return {{"id", file.name},
          {"object", "model"},
          {"created", file.modified_unix_s},
          {"owned_by", "lull"}};
}

// As vLLM shows them: models whose parent is the one that they adapt.
Json Describe(const ServedAdapter& entry, Json base) {
  base["root"] = entry.file_name();
  base["parent"] = base["id"];
  base["id"] = entry.name;
  return base;
}

// The model, and behind the server's own what adapts it.
void Add(const Service& service, const Json& model, std::vector<Json>* models) {
  models->push_back(model);
  if (service.adapters == nullptr || model["id"] != service.hub->own_name()) return;
  for (const ServedAdapter& entry : service.adapters->List())
    models->push_back(Describe(entry, model));
}

// What is loaded, the server's own first, then what a request could have loaded.
std::vector<Json> Models(const Service& service) {
  std::vector<Json> models;
  std::set<std::string> names;
  for (const ServedModelPtr& served : service.hub->Loaded()) {
    Add(service, Describe(*served), &models);
    names.insert(served->id);
  }
  if (service.catalog == nullptr) return models;
  for (const AvailableModel& file : service.catalog->List())
    if (names.count(file.name) == 0) Add(service, Describe(file), &models);
  return models;
}

}  // namespace

void HandleModels(Service& service, const HttpRequest&, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder, [&service, responder] {
    SendJson(*responder, {{"object", "list"}, {"data", Models(service)}});
    return Status();
  });
}

void HandleModel(Service& service, const HttpRequest& request, ResponderPtr responder) {
  const std::string id = PathRest(request, "/v1/models/*");
  OnWorker(service, *service.worker, responder, [&service, id, responder]() -> Status {
    std::string known;
    for (const Json& model : Models(service)) {
      const std::string name = model["id"];
      if (id == name) return SendJson(*responder, model), Status();
      known += (known.empty() ? "" : ", ") + name;
    }
    return Status(ErrorCode::kNotFound, "no such model: " + id.substr(0, 200), "model",
                  "this server has " + known);
  });
}

}  // namespace lull
