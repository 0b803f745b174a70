// Calls every reader of an opened file, so that a view that points astray is touched.
#pragma once

#include <cstdint>

#include "formats/gguf.h"

namespace lull {

// A checksum over keys, values and the ends of every tensor.
uint64_t ReadEverything(const GgufFile& file);

}  // namespace lull
