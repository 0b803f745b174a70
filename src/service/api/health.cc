#include "base/os/os.h"
#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {
namespace {

void SendState(Responder& responder, bool well, const Json& body) {
  responder.Send({well ? 200 : 503,
                  "application/json",
                  body.dump(-1, ' ', false, Json::error_handler_t::replace),
                  {}});
}

}  // namespace

void HandleHealth(Service& service, const HttpRequest&, ResponderPtr responder) {
  const bool draining = service.draining.load();
  const auto loaded = service.hub->Loaded();
  SendState(*responder, !draining,
            {{"status", draining ? "draining" : "ok"},
             {"model", loaded.empty() ? "" : loaded.front()->id},
             {"pid", os::ProcessId()}});
}

// Whether to send requests here: a model is loaded, or loads when a request names it, and the
// server is not about to end.
void HandleReady(Service& service, const HttpRequest&, ResponderPtr responder) {
  const bool draining = service.draining.load();
  const bool loaded = service.catalog != nullptr || !service.hub->Loaded().empty();
  SendState(*responder, !draining && loaded,
            {{"ready", !draining && loaded},
             {"reason", draining ? "draining" : (loaded ? "" : "no model is loaded")}});
}

}  // namespace lull
