// Starting a thread, where the system may refuse: its limit of threads, or no memory for a stack.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "lull/status.h"

namespace lull::os {

// what: the thread's work, for the message, e.g. "compute thread 3". *thread is set on success
// alone.
template <typename Fn>
Status StartThread(const std::string& what, Fn&& fn, std::thread* thread) {
  try {
    *thread = std::thread(std::forward<Fn>(fn));
    return Status();
  } catch (const std::system_error& error) {
    return Status(
        ErrorCode::kOutOfMemory, std::string("cannot start a thread: ") + error.what(), what,
        "use fewer threads (--threads), or raise the limits (ulimit -u, the cgroup's pids.max)");
  }
}

}  // namespace lull::os
