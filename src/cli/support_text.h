// What Lull supports, as people and programs read it.
#pragma once

#include <string>

#include "cli/output.h"

namespace lull {

std::string SupportMarkdown();
Json SupportJson();

}  // namespace lull
