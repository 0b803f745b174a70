#include "cli/server_link.h"

#include <cstdlib>

#include "bench/http_client.h"
#include "cli/environment.h"

namespace lull {
namespace {

constexpr double kTimeoutS = 10.0;

std::string FromEnvironment(const std::string& flag, const char* name) {
  return flag.empty() ? EnvironmentVariable(name) : flag;
}

Status RefusalOf(const HttpReply& reply, const std::string& where) {
  if (reply.status == 401 || reply.status == 403)
    return Status(ErrorCode::kUsage, "the server wants an API key", where,
                  "give --api-key KEY or LULL_API_KEY");
  const Json body = Json::parse(reply.body, nullptr, false);
  std::string message = "the server answered " + std::to_string(reply.status);
  if (body.is_object() && body.contains("error")) {
    const Json& error = body["error"];  // as OpenAI has it, or Ollama
    const Json text = error.is_object() ? error.value("message", Json()) : error;
    if (text.is_string()) message = text.get<std::string>();
  }
  const ErrorCode code = reply.status == 404 ? ErrorCode::kNotFound : ErrorCode::kIo;
  return Status(code, message, where, "is it a Lull server of this version?");
}

}  // namespace

void ServerLink::AddTo(CLI::App& app) {
  app.add_option("-p,--port", port_, "port of the server on this machine (default 8080)")
      ->check(CLI::Range(1, 65535));
  app.add_option("--url", url_, "address of the server, e.g. http://127.0.0.1:8080 (or LULL_URL)");
  app.add_option("--api-key", api_key_, "key of the server (or LULL_API_KEY)");
}

Result<ServerAddressParts> ParseServerUrl(const std::string& url) {
  const Status bad(ErrorCode::kUsage, "not an address of a server: " + url, "--url",
                   "e.g. http://127.0.0.1:8080");
  if (url.starts_with("https://"))
    return Status(ErrorCode::kUnsupported, "this verb speaks no TLS", "--url",
                  "ask on the machine itself, or with curl");
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return bad;
  std::string rest = url.substr(kScheme.size());
  if (rest.ends_with('/')) rest.pop_back();
  ServerAddressParts parts{rest, 80};
  const size_t colon = rest.rfind(':');
  if (colon != std::string::npos && rest.find(']', colon) == std::string::npos) {
    parts.host = rest.substr(0, colon);
    char* end = nullptr;
    const long port = strtol(rest.c_str() + colon + 1, &end, 10);
    if (*end != 0 || port < 1 || port > 65535) return bad;
    parts.port = static_cast<int>(port);
  }
  if (parts.host.starts_with('[') && parts.host.ends_with(']'))
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  if (parts.host.empty() || parts.host.find_first_of("/@?# ") != std::string::npos) return bad;
  return parts;
}

Result<std::string> ServerLink::url() const {
  const std::string url = FromEnvironment(url_, "LULL_URL");
  if (url.empty()) return "http://127.0.0.1:" + std::to_string(port_);
  LULL_RETURN_IF_ERROR(ParseServerUrl(url).status());
  return url;
}

Result<Json> ServerLink::Get(const std::string& path) const { return Ask(path, nullptr); }

Result<Json> ServerLink::Post(const std::string& path, const Json& body) const {
  return Ask(path, &body);
}

Result<Json> ServerLink::Ask(const std::string& path, const Json* body) const {
  LULL_ASSIGN_OR_RETURN(const std::string base, url());
  LULL_ASSIGN_OR_RETURN(const ServerAddressParts server, ParseServerUrl(base));
  const std::string key = FromEnvironment(api_key_, "LULL_API_KEY");
  const Result<HttpReply> reply =
      body == nullptr ? HttpGet(server.host, server.port, path, kTimeoutS, key)
                      : HttpPostJson(server.host, server.port, path, body->dump(), kTimeoutS, key);
  if (!reply.ok())
    return Status(ErrorCode::kIo, "no server answers: " + reply.error().message, base,
                  "start one: lull serve smollm2, or name it: --port, --url");
  if (reply->status != 200) return RefusalOf(*reply, base + path);
  Json json = Json::parse(reply->body, nullptr, false);
  if (!json.is_object())
    return Status(ErrorCode::kInvalidInput, "the answer is no JSON object", base + path,
                  "is it a Lull server?");
  return json;
}

}  // namespace lull
