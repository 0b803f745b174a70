// What a server can do without, given up for good: a system call filter.
#pragma once

#include "lull/status.h"

namespace lull::os {

// For all threads of this process, also those to come: no program is started, no process made,
// looked into or killed; nothing mounted, loaded into the kernel or traced; no memory is both
// writable and executable, nor becomes executable later; no sockets but TCP, UDP and Unix ones; no
// keys pressed in its terminal; no other user's rights. Such calls fail with EPERM. Files, threads,
// memory and sockets stay. kUnsupported where the kernel has no filters; nothing has changed then.
// Call it last: there is no way back.
Status EnterSandbox();

}  // namespace lull::os
