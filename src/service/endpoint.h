// One endpoint: a function on the service and a request. Adding one: api/<name>.cc and a line in
// endpoint_list.inc.
#pragma once

#include <memory>
#include <string>

#include "lull/engine.h"
#include "service/http/message.h"
#include "service/worker.h"

namespace lull {

// What endpoints share. Outlives every request.
struct Service {
  const Model* model = nullptr;
  Runtime* runtime = nullptr;
  Engine* engine = nullptr;
  Worker* worker = nullptr;  // runs the endpoints that tokenize
  std::string model_id;     // as /v1/models shows it
  int64_t start_unix_s = 0;
  double default_temperature = 1.0;
};

using ResponderPtr = std::shared_ptr<Responder>;

#define LULL_ENDPOINT(method, path, Name) \
  void Handle##Name(Service& service, const HttpRequest& request, ResponderPtr responder);
#include "service/endpoint_list.inc"
#undef LULL_ENDPOINT

// On the HTTP thread. Routes: 404 for unknown paths, 405 for known ones with another method.
void Route(Service& service, const HttpRequest& request, ResponderPtr responder);

}  // namespace lull
