#include <string_view>

#include "service/endpoint.h"
#include "service/json_request.h"

namespace lull {
namespace {

constexpr std::string_view kFolder = "/v1/models/";

Json Describe(const ServedModel& served) {
  return {{"id", served.id},
          {"object", "model"},
          {"created", served.created_unix_s},
          {"owned_by", "lull"},
          {"max_model_len", served.engine->max_context_tokens()}};
}

void SendJson(Responder& responder, const Json& body) {
  responder.Send(
      {200, "application/json", body.dump(-1, ' ', false, Json::error_handler_t::replace), {}});
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// %41 is A; a % without two digits stands for itself.
std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                        HexDigit(text[i + 2]) >= 0;
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace

void HandleModels(Service& service, const HttpRequest&, ResponderPtr responder) {
  Json data = Json::array();
  for (const ServedModelPtr& served : service.hub->Loaded()) data.push_back(Describe(*served));
  SendJson(*responder, {{"object", "list"}, {"data", std::move(data)}});
}

void HandleModel(Service& service, const HttpRequest& request, ResponderPtr responder) {
  const std::string id = PercentDecoded(std::string_view(request.path).substr(kFolder.size()));
  std::string known;
  for (const ServedModelPtr& served : service.hub->Loaded()) {
    if (id == served->id) return SendJson(*responder, Describe(*served));
    known += (known.empty() ? "" : ", ") + served->id;
  }
  SendError(service, *responder,
            {ErrorCode::kNotFound, "no such model: " + id.substr(0, 200), "model",
             "this server has " + known});
}

}  // namespace lull
