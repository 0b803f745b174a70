#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {
namespace {

Json Describe(const ServedModel& served) {
  return {{"id", served.id},
          {"object", "model"},
          {"created", served.created_unix_s},
          {"owned_by", "lull"},
          {"max_model_len", served.engine->max_context_tokens()}};
}

}  // namespace

void HandleModels(Service& service, const HttpRequest&, ResponderPtr responder) {
  Json data = Json::array();
  for (const ServedModelPtr& served : service.hub->Loaded()) data.push_back(Describe(*served));
  SendJson(*responder, {{"object", "list"}, {"data", std::move(data)}});
}

void HandleModel(Service& service, const HttpRequest& request, ResponderPtr responder) {
  const std::string id = PathRest(request, "/v1/models/*");
  std::string known;
  for (const ServedModelPtr& served : service.hub->Loaded()) {
    if (id == served->id) return SendJson(*responder, Describe(*served));
    known += (known.empty() ? "" : ", ") + served->id;
  }
  SendError(service, *responder,
            {ErrorCode::kNotFound, "no such model: " + id.substr(0, 200), "model",
             "this server has " + known});
}

}  // namespace lull
