// Filters on sequences and mappings.
#pragma once

#include <vector>

#include "chat/value.h"

namespace lull::jinja {

struct SequenceFilter {
  const char* name;
  Value (*apply)(Run&, const Value&, const Args&);
};
const std::vector<SequenceFilter>& SequenceFilters();

}  // namespace lull::jinja
