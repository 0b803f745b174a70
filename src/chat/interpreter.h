// Runs a parsed template.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "chat/ast.h"

namespace lull::jinja {

// Renders with these variables. The result is meaningful only where run.ok() stays true.
std::string Execute(const Template& source, Run& run,
                    const std::vector<std::pair<std::string, Value>>& variables);

}  // namespace lull::jinja
