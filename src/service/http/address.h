// IP addresses as text.
#pragma once

#include <string>

namespace lull {

bool IsIpAddress(const std::string& text);
// Only this machine reaches it. False where it is no address.
bool IsLoopbackAddress(const std::string& text);

}  // namespace lull
