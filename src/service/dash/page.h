// The dashboard's page: HTML with its style and script inside, so that one answer is all of it.
#pragma once

#include <string>

namespace lull {

struct DashPage {
  std::string html;
  // Nothing but this style and this script, and no connection but to this server.
  std::string content_security_policy;
};

// Built at the first call. Thread-safe.
const DashPage& TheDashPage();

}  // namespace lull
