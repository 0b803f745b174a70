// What the endpoints of Ollama's API share: the forms of names, times, sizes and errors.
// Field by field: docs/design/ollama.md.
#pragma once

#include <chrono>
#include <string>

#include "service/endpoint.h"
#include "service/json_request.h"
#include "service/model_card.h"

namespace lull {

// The version of Ollama's API that this one follows; clients compare it to know what they may ask.
inline constexpr const char* kOllamaApiVersion = "0.12.0";

// "2025-01-31T12:00:00.123456789Z".
std::string Rfc3339(std::chrono::system_clock::time_point time);
// "134.52M", "8.3B".
std::string ParameterSize(int64_t parameters);
// With a tag, as clients list and compare it: "smollm2:latest".
std::string TaggedName(const std::string& name);
// "details" of a model; parent: the model that it adapts, with its tag.
Json OllamaDetails(const ModelCard& card, const std::string& parent = {});
// "details" of a model file; null fields where it cannot be read.
Json OllamaDetails(Service& service, const AvailableModel& model);
// What "capabilities" holds.
Json OllamaCapabilities(const ModelCard& card);

// The model that a body names, in its field model or, as older clients have it, name; "" with the
// error set in fields.
std::string ReadModelName(JsonFields& fields);
// keep_alive as the hub takes it; absent where the body says nothing.
std::optional<int64_t> ReadKeepAlive(JsonFields& fields);

// Runs handle on the worker's thread and sends the error that it returns.
void OnWorker(Service& service, Worker& worker, const ResponderPtr& responder,
              std::function<Status()> handle);

// Passes everything on, errors in Ollama's form: {"error": "what"}.
ResponderPtr WithOllamaErrors(ResponderPtr responder);
// That form of an error.
std::string OllamaErrorBody(const Error& error);

}  // namespace lull
