#include "service/guard.h"

#include <algorithm>
#include <cctype>

#include "service/http/address.h"
#include "service/status_map.h"

namespace lull {
namespace {

struct Rule {
  std::string_view method, path;
  Access access;
};
// Everything else: Access::kKey.
constexpr Rule kRules[] = {
    {"GET", "/health", Access::kPublic},
    {"HEAD", "/health", Access::kPublic},
    {"GET", "/ready", Access::kPublic},
    {"HEAD", "/ready", Access::kPublic},
    // The page itself, which holds no data; what it shows it asks for with a key.
    {"GET", "/dash", Access::kPublic},
    {"PUT", "/budget", Access::kAdmin},
    {"POST", "/lora-adapters", Access::kManage},
    {"POST", "/v1/load_lora_adapter", Access::kManage},
    {"POST", "/v1/unload_lora_adapter", Access::kManage},
    {"POST", "/api/pull", Access::kManage},
    {"POST", "/api/push", Access::kManage},
    {"POST", "/api/create", Access::kManage},
    {"POST", "/api/copy", Access::kManage},
    {"DELETE", "/api/delete", Access::kManage},
};

bool EqualNoCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

// "name:8080" and "[::1]:8080" to "name" and "::1"; empty where it is neither.
std::string HostName(std::string_view host) {
  const bool bracketed = host.starts_with('[');
  const size_t end = bracketed ? host.find(']') : host.find(':');
  std::string_view name = host.substr(0, end);
  std::string_view rest =
      end == std::string_view::npos ? std::string_view() : host.substr(end + (bracketed ? 1 : 0));
  if (bracketed && end == std::string_view::npos) return "";
  if (bracketed) name.remove_prefix(1);
  if (!rest.empty()) {
    if (rest.front() != ':' || rest.size() > 6) return "";
    rest.remove_prefix(1);
    if (!std::all_of(rest.begin(), rest.end(), [](char c) { return c >= '0' && c <= '9'; }))
      return "";
  }
  if (name.ends_with('.')) name.remove_suffix(1);
  return std::string(name);
}

HttpResponse Refusal(int status, const std::string& message, const std::string& where,
                     const std::string& hint) {
  const ErrorCode code = status == 404 ? ErrorCode::kNotFound : ErrorCode::kUsage;
  HttpResponse response = ErrorResponse({code, message, where, hint});
  response.status = status;
  return response;
}

// The key of the one Authorization field; empty where there is none.
std::string_view PresentedKey(std::string_view authorization) {
  constexpr std::string_view kBearer = "Bearer ";
  if (!EqualNoCase(authorization.substr(0, kBearer.size()), kBearer)) return {};
  authorization.remove_prefix(kBearer.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

bool IsFieldNames(std::string_view text) {
  return text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == ',' || c == ' ';
         });
}

// What a browser asks before it lets a page of another origin ask.
HttpResponse Preflight(const HttpHead& head) {
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers = {{"Access-Control-Allow-Methods", "GET, POST, PUT, DELETE"},
                      {"Access-Control-Max-Age", "600"}};
  const auto asked = head.Values("access-control-request-headers");
  if (asked.size() == 1 && IsFieldNames(asked.front()))
    response.headers.push_back({"Access-Control-Allow-Headers", std::string(asked.front())});
  return response;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// False where a percent sign begins no byte.
bool Decode(std::string_view path, std::string* decoded) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      *decoded += path[i];
      continue;
    }
    const int high = i + 2 < path.size() ? HexDigit(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? HexDigit(path[i + 2]) : -1;
    if (high < 0 || low < 0) return false;
    *decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

// Paths have one spelling: what could mean another path to someone else is no route.
bool IsPlainPath(std::string_view path) {
  std::string decoded;
  if (!Decode(path, &decoded) || !decoded.starts_with('/')) return false;
  for (const char c : decoded)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F || c == '\\') return false;
  if (decoded == "/") return true;
  for (size_t at = 0; at < decoded.size();) {
    const size_t end = std::min(decoded.find('/', at + 1), decoded.size());
    const std::string_view segment = std::string_view(decoded).substr(at + 1, end - at - 1);
    if (segment.empty() || segment == "." || segment == "..") return false;
    at = end;
  }
  return true;
}

}  // namespace

Access AccessOf(std::string_view method, std::string_view path) {
  for (const Rule& rule : kRules)
    if (rule.method == method && rule.path == path) return rule.access;
  return Access::kKey;
}

Result<Guard> Guard::Create(GuardOptions options) {
  const bool open = IsIpAddress(options.address) && !IsLoopbackAddress(options.address);
  if (options.keys.empty() && open)
    return Status(ErrorCode::kUsage,
                  "other machines can reach " + options.address + ", and there is no key", "--host",
                  "lull key new NAME --file keys, then --api-key-file keys");
  return Guard(std::move(options));
}

bool Guard::AllowsHost(std::string_view host) const {
  const std::string name = HostName(host);
  // A page can have a name point here, but not an address.
  if (EqualNoCase(name, "localhost") || IsIpAddress(name)) return true;
  return !name.empty() &&
         std::any_of(options_.hosts.begin(), options_.hosts.end(),
                     [&](const std::string& allowed) { return EqualNoCase(allowed, name); });
}

bool Guard::AllowsOrigin(std::string_view origin, std::string_view host) const {
  for (const std::string_view scheme : {"http://", "https://"})
    if (!host.empty() && EqualNoCase(origin, std::string(scheme) + std::string(host))) return true;
  return std::any_of(
      options_.origins.begin(), options_.origins.end(),
      [&](const std::string& allowed) { return allowed == "*" || EqualNoCase(allowed, origin); });
}

HttpVerdict Guard::Check(const HttpHead& head) const {
  HttpVerdict verdict;
  const auto hosts = head.Values("host");
  const auto origins = head.Values("origin");
  const std::string_view host = hosts.empty() ? std::string_view() : hosts.front();
  const auto refuse = [&](HttpResponse response) {
    verdict.refusal = std::move(response);
    return verdict;
  };
  if (hosts.size() > 1 || origins.size() > 1 || (hosts.empty() && head.http_1_1))
    return refuse(Refusal(400, "a request has one Host and at most one Origin", "Host", ""));
  if (!hosts.empty() && !AllowsHost(host))
    return refuse(
        Refusal(421, "this server does not go by the name of the Host field", "Host",
                "localhost and IP addresses are allowed, other names with --allow-host NAME"));
  if (!origins.empty()) {
    if (!AllowsOrigin(origins.front(), host))
      return refuse(Refusal(403, "pages of this origin may not ask", "Origin",
                            "--allow-origin ORIGIN lets them"));
    verdict.headers = {{"Access-Control-Allow-Origin", std::string(origins.front())},
                       {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"},
                       {"Vary", "Origin"}};
    if (head.method == "OPTIONS" && !head.Values("access-control-request-method").empty())
      return refuse(Preflight(head));
  }
  return CheckKey(head, std::move(verdict));
}

HttpVerdict Guard::CheckKey(const HttpHead& head, HttpVerdict verdict) const {
  const auto refuse = [&](HttpResponse response) {
    verdict.refusal = std::move(response);
    return verdict;
  };
  const Access access = AccessOf(head.method, head.path);
  const bool strict = access == Access::kAdmin;
  const auto given = head.Values("authorization");
  if (given.size() > 1)
    return refuse(Refusal(400, "more than one Authorization field", "Authorization", ""));
  if (!options_.keys.empty() && access != Access::kPublic) {
    const ApiKey* key = given.empty() ? nullptr : options_.keys.Find(PresentedKey(given.front()));
    if (key == nullptr) {
      verdict.headers.push_back({"WWW-Authenticate", "Bearer"});
      return refuse(Refusal(401, given.empty() ? "a key is needed" : "no such key", "Authorization",
                            "send Authorization: Bearer KEY"));
    }
    if ((strict || access == Access::kManage) && !key->admin)
      return refuse(Refusal(403, "this key may not do that", "Authorization",
                            "its line in the key file would have to end in :admin"));
    verdict.account = key->account;
    verdict.admin = key->admin;
  } else if (strict) {
    return refuse(Refusal(403, "only an admin's key may do that, and this server has no keys",
                          "Authorization",
                          "lull key new NAME --admin --file keys, then lull serve with "
                          "--api-key-file keys"));
  }
  if (!IsPlainPath(head.path))
    return refuse(Refusal(404, "no such route", head.path.substr(0, 200), ""));
  return verdict;
}

}  // namespace lull
