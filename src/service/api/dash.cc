#include "service/dash/page.h"
#include "service/dash/stats.h"

namespace lull {

void HandleDash(Service&, const HttpRequest&, ResponderPtr responder) {
  const DashPage& page = TheDashPage();
  responder->Send({200,
                   "text/html; charset=utf-8",
                   page.html,
                   {{"Content-Security-Policy", page.content_security_policy},
                    {"X-Content-Type-Options", "nosniff"},
                    {"Referrer-Policy", "no-referrer"},
                    {"Cache-Control", "no-cache"}}});
}

void HandleDashStats(Service& service, const HttpRequest& request, ResponderPtr responder) {
  if (service.load == nullptr)
    return SendError(service, *responder,
                     {ErrorCode::kUnsupported, "this server keeps no figures", request.path, ""});
  const std::string body =
      DashStats(service, request).dump(-1, ' ', false, Json::error_handler_t::replace);
  responder->Send({200, "application/json", body, {{"Cache-Control", "no-store"}}});
}

}  // namespace lull
