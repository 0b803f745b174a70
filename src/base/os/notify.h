// Telling the service manager how this process is: systemd's notification protocol.
#pragma once

#include <string>

#include "lull/status.h"

namespace lull::os {

// Sends state, e.g. "READY=1", as one datagram to the Unix socket of this path, or of this abstract
// name where it begins with @. Never blocks. Thread-safe.
Status NotifyServiceManager(const std::string& socket_path, const std::string& state);

}  // namespace lull::os
