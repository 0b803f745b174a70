// From a client's request to the engine's and back: the model is acquired, the engine's requests
// are submitted, timed, counted, logged and, where the client goes, cancelled. What the events
// become on the wire is the business of an AnswerWriter.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/adapters.h"
#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {

// A request whose body is parsed and whose model is there.
struct ModelCall {
  Service& service;
  ServedModelPtr served;
  HttpRequest request;
  Json body;
  ResponderPtr responder;
  std::optional<ServedAdapter> adapter = {};  // that `model` named; then served is the server's own

  // What the client called the model that answers: that, or the model.
  const std::string& model_name() const { return adapter ? adapter->name : served->id; }
};

// Where the query names an adapter: that, and the query is for the server's own model.
std::optional<ServedAdapter> TakeAdapter(const Service& service, ModelQuery* query);

// Parses the body, acquires the model that its field `model` names and hands both on; an error of
// any of them is sent.
using ModelHandler = Status (*)(ModelCall& call);
void WithModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
               ModelHandler handle);

// Turns the events of one generation into an answer. Called by one thread at a time, never after
// OnError or after OnFinish with a total.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // Event::Kind::kToken.
  virtual void OnToken(size_t choice, const Event& event) = 0;
  // The choice has ended as it should. total: of all choices, with the last one to end; else null.
  virtual void OnFinish(size_t choice, const Event& event, const RequestStats* total) = 0;
  virtual void OnError(const Error& error) = 0;
};

struct GenerationJob {
  std::string id;                // X-Request-Id; see NextId
  std::vector<Request> choices;  // at least one
  bool stream = false;
  const char* prompt_field = "prompt";  // what an error about prompt_tokens names
};

// Submits all choices. An error, of the first or of a later one, goes to the writer.
void StartGeneration(ModelCall& call, GenerationJob generation,
                     std::shared_ptr<AnswerWriter> writer);

// Unique over the server's life and, by its time, beyond.
std::string NextId(const char* prefix);
int64_t UnixSeconds();
// As text; bytes that are no UTF-8 become U+FFFD.
std::string Dump(const Json& json);

}  // namespace lull
