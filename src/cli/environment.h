// Environment variables; one that is empty counts as not set.
#pragma once

#include <cstdlib>
#include <string>

namespace lull {

inline std::string EnvironmentVariable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace lull
