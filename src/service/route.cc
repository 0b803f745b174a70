#include "service/endpoint.h"
#include "service/status_map.h"

namespace lull {
namespace {

struct Endpoint {
  const char* method;
  const char* path;
  void (*handle)(Service&, const HttpRequest&, ResponderPtr);
};

constexpr Endpoint kEndpoints[] = {
#define LULL_ENDPOINT(method, path, Name) {method, path, Handle##Name},
#include "service/endpoint_list.inc"
#undef LULL_ENDPOINT
};

}  // namespace

void Route(Service& service, const HttpRequest& request, ResponderPtr responder) {
  std::string allowed;
  for (const Endpoint& endpoint : kEndpoints) {
    if (request.path != endpoint.path) continue;
    if (request.method == endpoint.method) return endpoint.handle(service, request, responder);
    allowed += (allowed.empty() ? "" : ", ") + std::string(endpoint.method);
  }
  const std::string what = request.method + " " + request.path.substr(0, 200);
  HttpResponse response =
      ErrorResponse({ErrorCode::kNotFound, allowed.empty() ? "no such route: " + what : "use " + allowed, what, ""});
  if (!allowed.empty()) {
    response.status = 405;
    response.headers.push_back({"Allow", allowed});
  }
  responder->Send(std::move(response));
}

}  // namespace lull
