// Calls written as in Python: [f(a=1, b=['x', None]), g()].
#pragma once

#include <string>
#include <vector>

#include "service/tool_calls.h"

namespace lull {

// None where the text is anything else.
std::vector<ToolCall> ParsePythonCalls(const std::string& text);

// One value as Python writes it: True, [1, 'a'], {'k': None}. False where the text is anything
// else.
bool ParsePythonValue(const std::string& text, Json* value);

}  // namespace lull
