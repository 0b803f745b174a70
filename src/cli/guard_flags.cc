#include "cli/guard_flags.h"

#include "base/os/private_file.h"
#include "cli/environment.h"

namespace lull {
namespace {

Result<ApiKeys> ReadKeys(const std::string& path) {
  if (path.empty()) return ApiKeys();
  LULL_ASSIGN_OR_RETURN(const os::PrivateText file, os::ReadPrivateFile(path));
  LULL_ASSIGN_OR_RETURN(ApiKeys keys, ApiKeys::Parse(file.text, path));
  if (keys.holds_plain_keys() && file.others_may_read)
    return Status(ErrorCode::kUsage, "others may read the keys in it", path, "chmod 600 " + path);
  if (keys.empty())
    return Status(ErrorCode::kUsage, "there is no key in it", path,
                  "lull key new NAME --file " + path);
  return keys;
}

}  // namespace

void GuardFlags::AddTo(CLI::App& app, HttpServerOptions* http) {
  app.add_option("--api-key-file", key_file,
                 "keys that clients need, a line each: NAME:KEY or NAME:SHA256 (lull key new)");
  app.add_option("--allow-host", hosts, "a name that clients may call this server by");
  app.add_option("--allow-origin", origins, "web pages that may ask, e.g. https://chat.example");
  auto* certificate =
      app.add_option("--tls-cert", http->tls_certificate, "serve over TLS: PEM certificate chain");
  auto* key = app.add_option("--tls-key", http->tls_key, "its PEM key");
  certificate->needs(key);
  key->needs(certificate);
}

Result<Guard> GuardFlags::ToGuard(const HttpServerOptions& http) const {
  GuardOptions options;
  LULL_ASSIGN_OR_RETURN(options.keys, ReadKeys(key_file));
  if (const std::string key = EnvironmentVariable("LULL_API_KEY"); !key.empty()) {
    const Status status = options.keys.Add("default", key, /*admin=*/true);
    if (!status.ok())
      return Status(ErrorCode::kUsage, status.error().message, "LULL_API_KEY",
                    "lull key new NAME prints one");
  }
  options.address = http.address;
  options.hosts = hosts;
  options.origins = origins;
  return Guard::Create(std::move(options));
}

}  // namespace lull
