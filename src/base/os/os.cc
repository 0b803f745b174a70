#include "base/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace lull::os {
namespace {

int64_t ReadClock(clockid_t clock) {
  timespec ts{};
  clock_gettime(clock, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

// One "Key:   123 kB" line of /proc/self/status, in bytes; 0 where absent.
int64_t StatusBytes(const char* key) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    long long kib = 0;
    if (line.rfind(key, 0) == 0 && sscanf(line.c_str() + strlen(key), ": %lld kB", &kib) == 1)
      return kib * 1024;
  }
  return 0;
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait
  if (fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return Status(code, std::string("cannot open file: ") + strerror(errno), path);
  }
  struct stat st {};
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return Status(ErrorCode::kInvalidInput, "not a regular file", path);
  }
  std::unique_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->size_ = static_cast<size_t>(st.st_size);
  file->modified_ns_ =
      static_cast<int64_t>(static_cast<uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000 +
                           static_cast<uint64_t>(st.st_mtim.tv_nsec));
  file->owner_uid_ = st.st_uid;
  if (file->size_ > 0) {
    void* data = mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const std::string reason = strerror(errno);
      file->size_ = 0;
      close(fd);
      return Status(ErrorCode::kIo, "cannot map file: " + reason, path);
    }
    file->data_ = static_cast<const uint8_t*>(data);
  }
  close(fd);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::DropPages(size_t offset, size_t size) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = std::min(offset + size, size_) / page * page;
  if (begin < end) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

Result<Memory> Memory::Allocate(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  Memory memory;
  if (bytes == 0) return memory;
  const size_t rounded = (bytes + kHuge - 1) / kHuge * kHuge;
  if (rounded < bytes)
    return Status(ErrorCode::kOutOfMemory,
                  "cannot allocate " + std::to_string(bytes) + " bytes: the size overflows",
                  "memory");
  // Over-allocate by one huge page so that the start can be aligned, then trim.
  void* raw =
      mmap(nullptr, rounded + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED)
    return Status(ErrorCode::kOutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes",
                  "memory",
                  "close other programs, raise the limit (ulimit -v, cgroup), or use a smaller "
                  "model or context");
  const uintptr_t base = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t start = (base + kHuge - 1) / kHuge * kHuge;
  if (start > base) munmap(raw, start - base);
  const uintptr_t tail = base + rounded + kHuge - (start + rounded);
  if (tail > 0) munmap(reinterpret_cast<void*>(start + rounded), tail);
  memory.data_ = reinterpret_cast<uint8_t*>(start);
  memory.size_ = rounded;
  if (rounded >= 4 * kHuge) madvise(memory.data_, rounded, MADV_HUGEPAGE);
  return memory;
}

Memory::~Memory() {
  if (data_ != nullptr) munmap(data_, size_);
}
Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void DiscardPages(void* data, size_t bytes) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (from + page - 1) / page * page;
  const uintptr_t end = (from + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void SpreadAllocatorWork() {
#ifdef M_MXFAST
  mallopt(M_MXFAST, 0);
#endif
}

int64_t MonotonicNs() { return ReadClock(CLOCK_MONOTONIC); }
int64_t ThreadCpuNs() { return ReadClock(CLOCK_THREAD_CPUTIME_ID); }
int64_t ProcessCpuNs() { return ReadClock(CLOCK_PROCESS_CPUTIME_ID); }

Result<int64_t> ProcessCpuNsOf(int pid) {
  clockid_t clock;
  timespec ts{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
    return Status(ErrorCode::kNotFound, "no such process", "pid " + std::to_string(pid));
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

void SleepUntilNs(int64_t monotonic_ns) {
  timespec ts{};
  ts.tv_sec = monotonic_ns / 1'000'000'000;
  ts.tv_nsec = monotonic_ns % 1'000'000'000;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, nullptr) == EINTR) {
  }
}

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

int64_t PeakRssBytes() { return StatusBytes("VmHWM"); }
int64_t CurrentRssBytes() { return StatusBytes("VmRSS"); }

void SetCurrentThreadIdlePriority() {
  sched_param param{};
  pthread_setschedparam(pthread_self(), SCHED_IDLE, &param);
}

void SetCurrentThreadTimerSlackNs(uint64_t ns) { prctl(PR_SET_TIMERSLACK, ns, 0, 0, 0); }

bool RequestTileRegisters() {
#if defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // the state component
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

uint32_t UserId() { return geteuid(); }

int ProcessId() { return static_cast<int>(getpid()); }

bool IsTerminal(int fd) { return isatty(fd) == 1; }

std::string CpuModelName() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace lull::os
