// Limits that the system sets to this process.
#pragma once

#include <cstdint>

namespace lull::os {

// Files and sockets that the process may have open at once.
int64_t OpenFileLimit();
// Raises that limit to 65,536, or as far as the system lets an ordinary user. For the whole
// process, so it is the program's to call, at its start.
void RaiseOpenFileLimit();

}  // namespace lull::os
