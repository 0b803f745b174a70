// JSON text to values.
#pragma once

#include <string>

#include "chat/value.h"

namespace lull::jinja {

// Depth and size are checked before anything is built. `what` names the text in errors.
Result<Value> ParseJson(Run& run, const std::string& text, const char* what);

}  // namespace lull::jinja
