// Sorting as Python's: stable, and failing on values without an order.
#pragma once

#include <vector>

#include "chat/value.h"

namespace lull::jinja {

// The order of `keys` as indices. Never misbehaves, whatever the comparison says.
std::vector<size_t> SortedOrder(Run& run, const Values& keys, bool reverse);

}  // namespace lull::jinja
