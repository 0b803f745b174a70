// Tokens to the parsed template.
#pragma once

#include <memory>
#include <string>

#include "chat/ast.h"

namespace lull::jinja {

Result<std::unique_ptr<Template>> ParseTemplate(const std::string& source,
                                                const TemplateLimits& limits, WorkMeter* work);

}  // namespace lull::jinja
