// The flags of `serve` about who may ask: keys, names, origins, TLS.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "lull/status.h"
#include "service/guard.h"
#include "service/http/server.h"

namespace lull {

struct GuardFlags {
  std::string key_file;
  std::vector<std::string> hosts;
  std::vector<std::string> origins;

  // TLS goes into http.
  void AddTo(CLI::App& app, HttpServerOptions* http);
  // Reads the key file and LULL_API_KEY.
  Result<Guard> ToGuard(const HttpServerOptions& http) const;
};

}  // namespace lull
