#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {

void HandleModels(Service& service, const HttpRequest&, ResponderPtr responder) {
  const Json model = {{"id", service.model_id},
                      {"object", "model"},
                      {"created", service.start_unix_s},
                      {"owned_by", "lull"},
                      {"max_model_len", service.engine->max_context_tokens()}};
  const Json body = {{"object", "list"}, {"data", Json::array({model})}};
  responder->Send({200, "application/json", body.dump(-1, ' ', false, Json::error_handler_t::replace), {}});
}

}  // namespace lull
