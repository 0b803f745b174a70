// Asking a running server, for the verbs that show what it does.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/output.h"
#include "lull/status.h"

namespace lull {

class ServerLink {
 public:
  // --port, --url, --api-key; $LULL_URL and $LULL_API_KEY stand in for the last two.
  void AddTo(CLI::App& app);
  // The object at that path. kIo where nobody answers, kUsage where a key is wanted.
  Result<Json> Get(const std::string& path) const;
  // The answer to a body posted there; errors as Get's.
  Result<Json> Post(const std::string& path, const Json& body) const;
  // "http://127.0.0.1:8080"; an error where --url is none.
  Result<std::string> url() const;

 private:
  // body null: a GET.
  Result<Json> Ask(const std::string& path, const Json* body) const;

  int port_ = 8080;
  std::string url_;
  std::string api_key_;
};

struct ServerAddressParts {
  std::string host;
  int port = 0;
};
// Of http://HOST[:PORT][/]. kUnsupported for https.
Result<ServerAddressParts> ParseServerUrl(const std::string& url);

}  // namespace lull
