// The unit file under which systemd runs `lull serve`: started again when it fails, watched, at low
// weight, with what a server does not need taken away.
#pragma once

#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct UnitOptions {
  std::string binary;                   // absolute path of lull
  std::vector<std::string> serve_args;  // of lull serve, the model first
  std::string pull;                     // a model that is fetched first where it is not there
  bool user = false;                    // for one user's manager, without root
};

// kUsage where an argument cannot stand in a unit file.
Result<std::string> SystemdUnit(const UnitOptions& options);

}  // namespace lull
