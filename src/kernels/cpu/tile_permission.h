// AMX tiles are 8 KiB of state for each thread; Linux gives them to a process that asks.
#pragma once

namespace lull {

// True where this machine has AMX-INT8 tiles and the kernel grants them, to this process and all
// of its threads, once for ever. Without the grant the first tile instruction is a SIGILL.
// Thread-safe. Source: Linux, Documentation/arch/x86/xstate.rst.
bool TilesAllowed();

}  // namespace lull
