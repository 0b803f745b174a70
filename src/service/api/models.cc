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
Json Describe(const ServedAdapter& entry, const ServedModel& base) {
  return {{"id", entry.name},
          {"object", "model"},
          {"created", base.created_unix_s},
          {"owned_by", "lull"},
          {"root", entry.path.substr(entry.path.find_last_of('/') + 1)},
          {"parent", base.id},
          {"max_model_len", base.engine->max_context_tokens()}};
}

void AddAdapters(const Service& service, const ServedModel& base, std::vector<Json>* models) {
  if (service.adapters == nullptr || !base.own) return;
  for (const ServedAdapter& entry : service.adapters->List())
    models->push_back(Describe(entry, base));
}

// What is loaded, the server's own first, then what a request could have loaded.
std::vector<Json> Models(const Service& service) {
  std::vector<Json> models;
  std::set<std::string> names;
  for (const ServedModelPtr& served : service.hub->Loaded()) {
    models.push_back(Describe(*served));
    names.insert(served->id);
    AddAdapters(service, *served, &models);
  }
  if (service.catalog == nullptr) return models;
  for (const AvailableModel& file : service.catalog->List())
    if (names.count(file.name) == 0) models.push_back(Describe(file));
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
