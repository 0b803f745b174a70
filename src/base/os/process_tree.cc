#include "base/os/process_tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lull::os {
namespace {

// "/proc/PID/a/TID/b" on the stack: snprintf may take locks.
class ProcPath {
 public:
  ProcPath() { Text("/proc/"); }
  ProcPath& Text(const char* text) {
    while (*text != '\0' && size_ + 1 < sizeof(path_)) path_[size_++] = *text++;
    path_[size_] = '\0';
    return *this;
  }
  ProcPath& Number(int64_t number) {
    char digits[24];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    return Text(digits + at);
  }
  const char* c_str() const { return path_; }

 private:
  size_t size_ = 0;
  char path_[96];
};

// Up to size - 1 bytes and a zero; false where the file cannot be read.
bool ReadSmallFile(const char* path, char* buffer, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t used = 0;
  ssize_t n = 0;
  while (used + 1 < size && (n = read(fd, buffer + used, size - 1 - used)) > 0)
    used += static_cast<size_t>(n);
  close(fd);
  buffer[used] = '\0';
  return n >= 0;
}

struct DirectoryEntry {  // what getdents64 writes
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];
};

// Calls fn(number) for each entry that is a number.
template <typename Fn>
void ForEachNumberIn(const char* folder, const Fn& fn) {
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  alignas(DirectoryEntry) char buffer[4096];
  for (;;) {
    const int64_t bytes = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
    if (bytes <= 0) break;
    for (int64_t at = 0; at < bytes;) {
      const DirectoryEntry* entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
      const long number = strtol(buffer + at + offsetof(DirectoryEntry, name), nullptr, 10);
      if (number > 0) fn(static_cast<pid_t>(number));
      at += entry->size;
    }
  }
  close(fd);
}

int64_t PssBytesOf(pid_t pid) {
  char text[2048];
  if (!ReadSmallFile(ProcPath().Number(pid).Text("/smaps_rollup").c_str(), text, sizeof(text)))
    return 0;
  const char* line = strstr(text, "\nPss:");
  return line == nullptr ? 0 : int64_t{strtoll(line + 5, nullptr, 10)} * 1024;
}

}  // namespace

ProcessTree::ProcessTree(pid_t root) {
  Add(root);
  Refresh();
}

void ProcessTree::Add(pid_t pid) {
  for (size_t i = 0; i < count_; ++i)
    if (processes_[i].alive && processes_[i].pid == pid) return;
  clockid_t clock;
  if (count_ == kMaxProcesses || clock_getcpuclockid(pid, &clock) != 0) return;
  processes_[count_++] = {pid, clock, 0, true};
}

void ProcessTree::AddChildrenOf(pid_t pid) {
  const auto of_thread = [&](pid_t thread) {
    char text[4096];
    ProcPath path;
    path.Number(pid).Text("/task/").Number(thread).Text("/children");
    if (!ReadSmallFile(path.c_str(), text, sizeof(text))) return;
    for (char* at = text;;) {
      char* end = at;
      const long child = strtol(at, &end, 10);
      if (end == at) return;
      if (child > 0) Add(static_cast<pid_t>(child));
      at = end;
    }
  };
  ForEachNumberIn(ProcPath().Number(pid).Text("/task").c_str(), of_thread);
}

void ProcessTree::Refresh() {
  // New ones are added behind: their children are looked for in the same pass.
  for (size_t i = 0; i < count_; ++i)
    if (processes_[i].alive) AddChildrenOf(processes_[i].pid);
}

bool ProcessTree::ReadCpuNs(int64_t* cpu_ns) {
  *cpu_ns = 0;
  for (size_t i = 0; i < count_; ++i) {
    Process& process = processes_[i];
    timespec ts{};
    if (process.alive && clock_gettime(process.clock, &ts) == 0) {
      process.cpu_ns = int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
    } else {
      process.alive = false;
    }
    *cpu_ns += process.cpu_ns;
  }
  return count_ > 0 && processes_[0].alive;
}

int64_t ProcessTree::ReadPssBytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < count_; ++i)
    if (processes_[i].alive) bytes += PssBytesOf(processes_[i].pid);
  return bytes;
}

}  // namespace lull::os
