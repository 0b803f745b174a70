// A process with its descendants, read without the heap: also for a child that was forked off a
// process with threads, which may call no more than that.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

namespace lull::os {

// Not thread-safe.
class ProcessTree {
 public:
  explicit ProcessTree(pid_t root);

  // Looks for new descendants. The kernel lists them for processes of the same user, or root.
  void Refresh();
  // CPU time of all that were ever seen, of those that ended as last read; false once the root is
  // gone.
  bool ReadCpuNs(int64_t* cpu_ns);
  // Memory of those alive, pages shared with others counted in shares; 0 where it cannot be read.
  // The kernel walks every mapped page: milliseconds for gigabytes.
  int64_t ReadPssBytes() const;
  size_t processes() const { return count_; }

 private:
  static constexpr size_t kMaxProcesses = 256;
  struct Process {
    pid_t pid;
    clockid_t clock;
    int64_t cpu_ns;
    bool alive;
  };

  void Add(pid_t pid);
  void AddChildrenOf(pid_t pid);

  size_t count_ = 0;
  Process processes_[kMaxProcesses];
};

}  // namespace lull::os
