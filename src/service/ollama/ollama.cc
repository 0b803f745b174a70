#include "service/ollama/ollama.h"

#include <cstdio>

#include "service/answer/answer_format.h"
#include "service/generation.h"
#include "service/keep_alive.h"
#include "service/runtime_context.h"
#include "service/status_map.h"

namespace lull {
namespace {

// An answer's errors rewritten on their way; everything else as it is.
class OllamaErrors : public Responder {
 public:
  explicit OllamaErrors(ResponderPtr inner) : inner_(std::move(inner)) {}

  void Send(HttpResponse response) override {
    if (response.status >= 400) response.body = Rewritten(response.body);
    inner_->Send(std::move(response));
  }
  void StartStream(const std::string& content_type, HttpFields headers) override {
    inner_->StartStream(content_type, std::move(headers));
  }
  void Write(std::string chunk) override { inner_->Write(std::move(chunk)); }
  void End() override { inner_->End(); }
  void OnDisconnect(std::function<void()> fn) override { inner_->OnDisconnect(std::move(fn)); }

 private:
  static std::string Rewritten(const std::string& body) {
    const Json json = Json::parse(body, nullptr, false);
    if (!json.is_object() || !json.contains("error") || !json["error"].is_object()) return body;
    return Dump({{"error", json["error"].value("message", "error")}});
  }

  const ResponderPtr inner_;
};

}  // namespace

std::string Rfc3339(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<nanoseconds>(time - day));
  char text[64];
  snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%09dZ", static_cast<int>(date.year()),
           static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
           static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
           static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

std::string ParameterSize(int64_t parameters) {
  const double count = static_cast<double>(parameters);
  char text[32];
  if (count >= 1e9)
    snprintf(text, sizeof text, "%.1fB", count / 1e9);
  else if (count >= 1e6)
    snprintf(text, sizeof text, "%.2fM", count / 1e6);
  else
    snprintf(text, sizeof text, "%.0fK", count / 1e3);
  return text;
}

std::string TaggedName(const std::string& name) {
  return name.find(':') == std::string::npos ? name + ":latest" : name;
}

Json OllamaDetails(const ModelCard& card, const std::string& parent) {
  return {{"parent_model", parent},
          {"format", "gguf"},
          {"family", card.architecture},
          {"families", Json::array({card.architecture})},
          {"parameter_size", ParameterSize(card.parameters)},
          {"quantization_level", card.file_type}};
}

Json OllamaDetails(Service& service, const AvailableModel& model) {
  const Result<ModelCard> card = service.model_cards.Get(model, TextContext(service));
  return OllamaDetails(card.ok() ? *card : ModelCard());
}

Json OllamaCapabilities(const ModelCard& card) {
  Json capabilities = Json::array({"completion"});
  if (card.takes_tools) capabilities.push_back("tools");
  if (Thinks(card.chat_template)) capabilities.push_back("thinking");
  return capabilities;
}

std::string ReadModelName(JsonFields& fields) {
  const std::string name = fields.String("name", "");
  const std::string model = fields.String("model", name);
  if (model.empty()) fields.Fail("model", "missing");
  return model;
}

std::optional<int64_t> ReadKeepAlive(JsonFields& fields) {
  const Json* value = fields.Get("keep_alive");
  if (value == nullptr) return std::nullopt;
  const Result<int64_t> parsed = ParseKeepAlive(*value);
  if (parsed.ok()) return *parsed;
  fields.Fail("keep_alive", "must be a duration such as \"5m\" or a number of seconds");
  return std::nullopt;
}

void OnWorker(Service& service, Worker& worker, const ResponderPtr& responder,
              std::function<Status()> handle) {
  const bool posted = worker.Run([&service, responder, handle = std::move(handle)] {
    try {  // a third party's exception ends its request, not the server
      const Status status = handle();
      if (!status.ok()) SendError(service, *responder, status.error());
    } catch (const std::exception& error) {
      SendError(service, *responder, {ErrorCode::kInternal, error.what(), "", ""});
    }
  });
  if (!posted)
    SendError(service, *responder,
              {ErrorCode::kBusy, "too many requests waiting", "", "try again"});
}

ResponderPtr WithOllamaErrors(ResponderPtr responder) {
  return std::make_shared<OllamaErrors>(std::move(responder));
}

std::string OllamaErrorBody(const Error& error) {
  std::string message = error.message;
  if (!error.hint.empty()) message += " (" + error.hint + ")";
  return Dump({{"error", message}});
}

}  // namespace lull
