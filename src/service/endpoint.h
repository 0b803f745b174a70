// One endpoint: a function on the service and a request. Adding one: api/<name>.cc and a line in
// endpoint_list.inc.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "doctor/doctor.h"
#include "lull/engine.h"
#include "lull/runtime.h"
#include "service/http/message.h"
#include "service/metrics.h"
#include "service/model_card.h"
#include "service/model_hub.h"
#include "service/request_log.h"
#include "service/worker.h"

namespace lull {

class LoadSampler;
class ServedAdapters;

// What endpoints share. Outlives every request.
struct Service {
  ModelHub* hub = nullptr;
  Runtime* runtime = nullptr;
  Worker* worker = nullptr;            // runs the endpoints that tokenize
  ModelCatalog* catalog = nullptr;     // null: no models but those of the hub
  ServedAdapters* adapters = nullptr;  // of the server's own model; null: it has none
  Worker* store_worker = nullptr;      // fetches and removes models, which takes its time
  ModelCards model_cards;              // of files, loaded or not
  LoadSampler* load = nullptr;         // what /dash shows of the last minute; null: not kept
  std::string evidence_path;           // whose last record /dash shows; "": none
  std::vector<Finding> warnings;       // of this machine, as /dash shows them
  int64_t start_unix_s = 0;
  double default_temperature = 1.0;
  double ollama_temperature = 0.8;  // of /api/chat and /api/generate: Ollama's default
  std::atomic<bool> draining{false};
  std::atomic<int64_t> requests_invalid{0};  // refused for what they asked, before or by the engine
  std::atomic<int64_t> requests_refused{0};  // refused for the load, or while draining
  Metrics metrics;
  RequestLog request_log;
};

using ResponderPtr = std::shared_ptr<Responder>;

// Sends the error and counts it.
void SendError(Service& service, Responder& responder, const Error& error);
void SendJson(Responder& responder, const Json& body);
// The path's part that an endpoint's * stands for, percent-decoded. pattern: "/v1/models/*".
std::string PathRest(const HttpRequest& request, std::string_view pattern);

#define LULL_ENDPOINT(method, path, Name) \
  void Handle##Name(Service& service, const HttpRequest& request, ResponderPtr responder);
#include "service/endpoint_list.inc"
#undef LULL_ENDPOINT

// On the HTTP thread. Routes: 404 for unknown paths, 405 for known ones with another method.
void Route(Service& service, const HttpRequest& request, ResponderPtr responder);

}  // namespace lull
