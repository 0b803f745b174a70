#include "service/endpoint.h"
#include "service/status_map.h"

namespace lull {

void HandleEmbeddings(Service& service, const HttpRequest& request, ResponderPtr responder) {
  HttpResponse response =
      ErrorResponse({ErrorCode::kUnsupported,
                     "embeddings are not implemented: the models that are served generate text",
                     request.path, ""});
  response.status = 501;
  service.requests_invalid.fetch_add(1);
  responder->Send(std::move(response));
}

}  // namespace lull
