// What the tile unit multiplies.
#pragma once

#include "quant/quant_format.h"

namespace lull::amx {

// False: products of the type run as AVX-512's do, and so do those of a few rows of any type.
bool HasTiles(const QuantFormat& format);

}  // namespace lull::amx
