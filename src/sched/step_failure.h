// An exception in a step as the error of the requests it served: memory that ran out ends them, not
// the process.
#pragma once

#include "lull/status.h"

namespace lull {

// Of the exception being handled; to be called in a catch block. kOutOfMemory of std::bad_alloc,
// else kInternal. Shorter where there is no memory for the whole text.
Error ErrorOfException() noexcept;

}  // namespace lull
