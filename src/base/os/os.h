// The only door to the operating system: files, clocks, meters, priorities.
// Thread-safe unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull::os {

// A file mapped read-only. The bytes stay valid while the object lives.
class MappedFile {
 public:
  static Result<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // As they were when it was opened: time of modification since 1970, and whose it is.
  int64_t modified_ns() const { return modified_ns_; }
  uint32_t owner_uid() const { return owner_uid_; }
  // Tells the kernel that [offset, offset + size) will not be read again (page cache may keep it).
  void DropPages(size_t offset, size_t size) const;

 private:
  MappedFile() = default;
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int64_t modified_ns_ = 0;
  uint32_t owner_uid_ = 0;
};

// Anonymous zeroed memory, 2 MiB pages where the system grants them. 64-byte aligned.
class Memory {
 public:
  static Result<Memory> Allocate(size_t bytes);
  Memory() = default;
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Gives back the whole pages inside [data, data + bytes); what was there is lost.
void DiscardPages(void* data, size_t bytes);

// Has malloc join blocks as they are freed: by default glibc keeps the small ones apart and joins
// thousands at once in some later call, a step of milliseconds. For the whole process, so it is the
// program's to call, at its start; without it only that step is longer.
void SpreadAllocatorWork();

int64_t MonotonicNs();   // CLOCK_MONOTONIC
int64_t ThreadCpuNs();   // CPU time of the calling thread
int64_t ProcessCpuNs();  // CPU time of all threads of this process
// CPU time of another process by its own clock; error where it does not exist.
Result<int64_t> ProcessCpuNsOf(int pid);
void SleepUntilNs(int64_t monotonic_ns);  // absolute; resumes after signals
int AvailableCpus();                      // affinity mask, at least 1
int64_t PeakRssBytes();                   // VmHWM of this process
int64_t CurrentRssBytes();                // VmRSS of this process
void SetCurrentThreadIdlePriority();
void SetCurrentThreadTimerSlackNs(uint64_t ns);
// Asks for AMX's tile registers on behalf of the process; false where the kernel refuses.
bool RequestTileRegisters();
std::string CpuModelName();
bool IsTerminal(int fd);
int ProcessId();
uint32_t UserId();  // effective

// Runs a program found on PATH, without a shell, and returns what it wrote to stdout. A non-zero
// exit is kIo with the end of its stderr.
Result<std::string> RunCommand(const std::vector<std::string>& argv);
// Flushes a written file to disk.
Status SyncFile(const std::string& path);

}  // namespace lull::os
