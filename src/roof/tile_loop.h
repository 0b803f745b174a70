// The peak of AMX's tile unit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull {

constexpr double kTileLoopMacs = 4.0 * 16 * 16 * 64;  // of one iteration

// Four independent sums of whole tiles. Requires: FindKernels("amx") has succeeded.
int64_t TileLoop(size_t iterations);

}  // namespace lull
