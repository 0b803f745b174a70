#include "kernels/cpu/tile_permission.h"

#include <cpuid.h>

#include "base/os/os.h"

namespace lull {
namespace {

constexpr unsigned kTileBit = 1u << 24, kInt8Bit = 1u << 25;  // cpuid 7.0, edx

bool AskForTiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTileBit) == 0 || (edx & kInt8Bit) == 0) return false;
  return os::RequestTileRegisters();
}

}  // namespace

bool TilesAllowed() {
  static const bool allowed = AskForTiles();
  return allowed;
}

}  // namespace lull
