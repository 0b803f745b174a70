// What text work on a server's own threads runs under.
#pragma once

#include "engine/runtime_rep.h"
#include "service/endpoint.h"

namespace lull {

inline ExecContext TextContext(const Service& service) {
  return service.runtime->rep().SingleThreaded();
}

}  // namespace lull
