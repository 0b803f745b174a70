#include <exception>
#include <string_view>

#include "service/dash/load_sampler.h"
#include "service/endpoint.h"
#include "service/ollama/ollama.h"
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

bool Matches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*')) return path == pattern;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.starts_with(pattern);
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

// What reads a body tokenizes, which may take long and sleep under a budget: off the HTTP thread.
void Call(const Endpoint& endpoint, Service& service, const HttpRequest& request,
          const ResponderPtr& responder) {
  const std::string_view method = endpoint.method;
  if (method != "POST" && method != "PUT") return endpoint.handle(service, request, responder);
  if (service.draining.load()) {
    service.requests_refused.fetch_add(1);
    HttpResponse response = ErrorResponse(
        {ErrorCode::kBusy, "the server is shutting down", request.path, "ask another one"});
    response.status = 503;
    return responder->Send(std::move(response));
  }
  if (service.load != nullptr) service.load->Wake();
  const bool posted =
      service.worker->Post([&service, handle = endpoint.handle, request, responder] {
        try {  // a third party's exception ends its request, not the server
          handle(service, request, responder);
        } catch (const std::exception& error) {
          responder->Send(ErrorResponse({ErrorCode::kInternal, error.what(), request.path, ""}));
        }
      });
  if (!posted)
    SendError(service, *responder,
              {ErrorCode::kBusy, "too many requests waiting", request.path, "try again"});
}

}  // namespace

void SendError(Service& service, Responder& responder, const Error& error) {
  HttpResponse response = ErrorResponse(error);
  const bool load = response.status == 429 || response.status == 503;
  if (load)
    service.requests_refused.fetch_add(1);
  else if (response.status < 500)
    service.requests_invalid.fetch_add(1);
  responder.Send(std::move(response));
}

void SendJson(Responder& responder, const Json& body) {
  responder.Send(
      {200, "application/json", body.dump(-1, ' ', false, Json::error_handler_t::replace), {}});
}

std::string PathRest(const HttpRequest& request, std::string_view pattern) {
  return PercentDecoded(std::string_view(request.path).substr(pattern.size() - 1));
}

void Route(Service& service, const HttpRequest& request, ResponderPtr responder) {
  if (request.path.starts_with("/api/")) responder = WithOllamaErrors(std::move(responder));
  std::string allowed;
  for (const Endpoint& endpoint : kEndpoints) {
    if (!Matches(endpoint.path, request.path)) continue;
    const bool head = request.method == "HEAD" && std::string_view(endpoint.method) == "GET";
    if (head || request.method == endpoint.method)
      return Call(endpoint, service, request, responder);
    allowed += (allowed.empty() ? "" : ", ") + std::string(endpoint.method);
  }
  const std::string what = request.method + " " + request.path.substr(0, 200);
  HttpResponse response =
      ErrorResponse({ErrorCode::kNotFound,
                     allowed.empty() ? "no such route: " + what : "use " + allowed, what, ""});
  if (!allowed.empty()) {
    response.status = 405;
    response.headers.push_back({"Allow", allowed});
  }
  responder->Send(std::move(response));
}

}  // namespace lull
