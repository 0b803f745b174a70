#include "base/os/os.h"
#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {

void HandleHealth(Service& service, const HttpRequest&, ResponderPtr responder) {
  const bool draining = service.draining.load();
  const auto loaded = service.hub->Loaded();
  const Json body = {{"status", draining ? "draining" : "ok"},
                     {"model", loaded.empty() ? "" : loaded.front()->id},
                     {"pid", os::ProcessId()}};
  responder->Send({draining ? 503 : 200,
                   "application/json",
                   body.dump(-1, ' ', false, Json::error_handler_t::replace),
                   {}});
}

}  // namespace lull
