#include "service/endpoint.h"

namespace lull {

// Of others' requests an account learns nothing, not even that there were any.
void HandleRequests(Service& service, const HttpRequest& request, ResponderPtr responder) {
  Json requests = Json::array();
  for (const LoggedRequest& logged : service.request_log.Newest(RequestLog::kCapacity))
    if (request.MaySee(logged.account)) requests.push_back(ToJson(logged));
  SendJson(*responder, {{"requests", std::move(requests)}});
}

void HandleRequestById(Service& service, const HttpRequest& request, ResponderPtr responder) {
  const std::string id = PathRest(request, "/requests/*");
  const auto found = service.request_log.Find(id);
  if (found.has_value() && request.MaySee(found->account)) {
    Json json = ToJson(*found);
    const double p95_s = service.runtime->budget().p95_latency_s;
    if (p95_s > 0) json["p95_s"] = p95_s;  // what is declared now
    return SendJson(*responder, json);
  }
  SendError(service, *responder,
            {ErrorCode::kNotFound, "no such request: " + id.substr(0, 200), "id",
             "the last " + std::to_string(RequestLog::kCapacity) + " that ended are kept"});
}

}  // namespace lull
