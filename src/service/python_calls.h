// Calls written as in Python: [f(a=1, b=['x', None]), g()].
#pragma once

#include <string>
#include <vector>

#include "service/tool_calls.h"

namespace lull {

// None where the text is anything else.
std::vector<ToolCall> ParsePythonCalls(const std::string& text);

}  // namespace lull
