#include "base/os/process.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <new>
#include <set>
#include <sstream>

#include "base/os/os.h"
#include "base/os/process_tree.h"

namespace lull::os {
namespace {

constexpr int kTcpListen = 0x0A;

// Socket inodes that listen on the port, from a /proc/net/tcp table.
void ListeningInodes(const char* table, int port, std::set<std::string>* inodes) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    const size_t colon = local.rfind(':');
    if (!fields || colon == std::string::npos) continue;
    if (strtol(state.c_str(), nullptr, 16) != kTcpListen) continue;
    if (strtol(local.c_str() + colon + 1, nullptr, 16) == port) inodes->insert(inode);
  }
}

bool HoldsSocket(const std::string& fd_dir, const std::set<std::string>& inodes) {
  DIR* dir = opendir(fd_dir.c_str());
  if (dir == nullptr) return false;
  bool found = false;
  while (const dirent* entry = readdir(dir)) {
    char target[64];
    const ssize_t n = readlink((fd_dir + "/" + entry->d_name).c_str(), target, sizeof(target) - 1);
    if (n <= 9) continue;
    const std::string link(target, static_cast<size_t>(n));  // socket:[12345]
    if (link.rfind("socket:[", 0) != 0) continue;
    found = inodes.count(link.substr(8, link.size() - 9)) > 0;
    if (found) break;
  }
  closedir(dir);
  return found;
}

}  // namespace

Result<int64_t> PeakRssBytesOf(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/status";
  std::ifstream file(path);
  std::string line;
  long long kib = 0;
  while (std::getline(file, line)) {
    if (sscanf(line.c_str(), "VmHWM: %lld kB", &kib) == 1) return int64_t{kib} * 1024;
  }
  return Status(ErrorCode::kNotFound, "no VmHWM of the process", path);
}

Result<int> CpusOf(int pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(pid, sizeof(set), &set) != 0)
    return Status(ErrorCode::kNotFound, "no such process", "pid " + std::to_string(pid));
  return std::max(CPU_COUNT(&set), 1);
}

Result<int> PidListeningOn(int port) {
  std::set<std::string> inodes;
  ListeningInodes("/proc/net/tcp", port, &inodes);
  ListeningInodes("/proc/net/tcp6", port, &inodes);
  const std::string where = "port " + std::to_string(port);
  if (inodes.empty()) return Status(ErrorCode::kNotFound, "nothing listens on the port", where);
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return Status(ErrorCode::kIo, "cannot read /proc", "/proc");
  int pid = 0;
  while (const dirent* entry = readdir(proc)) {
    const int candidate = atoi(entry->d_name);
    if (candidate <= 0) continue;
    if (!HoldsSocket("/proc/" + std::string(entry->d_name) + "/fd", inodes)) continue;
    pid = candidate;
    break;
  }
  closedir(proc);
  if (pid > 0) return pid;
  return Status(ErrorCode::kNotFound, "no readable process holds the listening socket", where,
                "give the server's process id");
}

MachineTimes ReadMachineTimes() {
  std::ifstream file("/proc/stat");
  std::string label;
  long long f[8] = {};  // user nice system idle iowait irq softirq steal
  file >> label;
  for (long long& field : f) file >> field;
  if (!file || label != "cpu") return {};
  const int64_t tick_ns = 1'000'000'000 / std::max(sysconf(_SC_CLK_TCK), 1L);
  int64_t total = 0;
  for (const long long field : f) total += field;
  return {total * tick_ns, (total - f[3] - f[4]) * tick_ns, f[7] * tick_ns};
}

struct CpuSampler::Shared {
  std::atomic<uint64_t> count{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> target_gone{false};
  std::atomic<int64_t> peak_pss_bytes{0};
  uint64_t capacity = 0;
  CpuSample samples[1];  // capacity of them
};

namespace {

constexpr int64_t kRefreshNs = 100'000'000;
constexpr int64_t kStopPollNs = 20'000'000;
constexpr int64_t kMemoryRestShare = 50;

int64_t ClockNs() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

void SleepToNs(int64_t monotonic_ns) {
  const timespec until = {monotonic_ns / 1'000'000'000, monotonic_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

// Runs fn in a child that ends with the caller. The child of a process with threads:
// async-signal-safe calls and plain stores only. Returns its process id.
template <typename Fn>
Result<int> ForkHelper(const Fn& fn) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0)
    return Status(ErrorCode::kIo, std::string("cannot fork: ") + strerror(errno), "CPU sampler");
  if (child > 0) return static_cast<int>(child);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  if (getppid() != parent) _exit(0);
  close_range(3, ~0U, 0);  // hold nobody's sockets open
  fn();
  _exit(0);
}

void WaitFor(int* child) {
  if (*child <= 0) return;
  kill(*child, SIGCONT);
  while (waitpid(*child, nullptr, 0) < 0 && errno == EINTR) {
  }
  *child = -1;
}

}  // namespace

void CpuSampler::SampleCpu(int pid, int64_t period_ns, Shared* shared) {
  const sched_param priority = {1};
  sched_setscheduler(0, SCHED_FIFO, &priority);  // refused without the right: then without
  ProcessTree tree(pid);
  int64_t next = ClockNs(), refresh = next + kRefreshNs;
  for (uint64_t i = 0; i < shared->capacity && !shared->stop.load(); ++i) {
    SleepToNs(next);
    CpuSample& sample = shared->samples[i];
    if (!tree.ReadCpuNs(&sample.cpu_ns)) {
      shared->target_gone.store(true);
      return;
    }
    sample.monotonic_ns = ClockNs();
    shared->count.store(i + 1, std::memory_order_release);
    if (sample.monotonic_ns >= refresh) {
      tree.Refresh();
      refresh = sample.monotonic_ns + kRefreshNs;
    }
    // Ticks missed are left out, never made up for in a rush.
    do next += period_ns;
    while (next <= sample.monotonic_ns);
  }
}

void CpuSampler::SampleMemory(int pid, int64_t period_ns, Shared* shared) {
  ProcessTree tree(pid);
  int64_t next = ClockNs(), unused = 0;
  while (!shared->stop.load() && tree.ReadCpuNs(&unused)) {
    const int64_t now = ClockNs();
    if (now < next) {
      SleepToNs(std::min(now + kStopPollNs, next));
      continue;
    }
    tree.Refresh();
    const int64_t bytes = tree.ReadPssBytes();
    if (bytes > shared->peak_pss_bytes.load()) shared->peak_pss_bytes.store(bytes);
    const int64_t end = ClockNs();
    next = std::max(now + period_ns, end + kMemoryRestShare * (end - now));
  }
}

Result<std::unique_ptr<CpuSampler>> CpuSampler::Start(int pid, const SamplerOptions& options) {
  LULL_RETURN_IF_ERROR(ProcessCpuNsOf(pid).status());
  if (options.period_ns <= 0 || options.max_samples == 0 ||
      options.max_samples > (size_t{1} << 28)) {
    return Status(ErrorCode::kUsage, "cannot sample the process", "pid " + std::to_string(pid));
  }
  std::unique_ptr<CpuSampler> sampler(new CpuSampler());
  const size_t bytes = sizeof(Shared) + options.max_samples * sizeof(CpuSample);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return Status(ErrorCode::kOutOfMemory, "no memory for CPU samples",
                  std::to_string(bytes) + " bytes");
  Shared* shared = new (memory) Shared();
  shared->capacity = options.max_samples;
  sampler->shared_ = shared;
  sampler->mapped_bytes_ = bytes;
  LULL_ASSIGN_OR_RETURN(sampler->child_,
                        ForkHelper([&] { SampleCpu(pid, options.period_ns, shared); }));
  if (options.memory_period_ns > 0) {
    LULL_ASSIGN_OR_RETURN(sampler->memory_child_,
                          ForkHelper([&] { SampleMemory(pid, options.memory_period_ns, shared); }));
  }
  return sampler;
}

void CpuSampler::Stop() {
  if (shared_ != nullptr) shared_->stop.store(true);
  WaitFor(&child_);
  WaitFor(&memory_child_);
}

CpuSampler::~CpuSampler() {
  Stop();
  if (shared_ != nullptr) munmap(shared_, mapped_bytes_);
}

std::vector<CpuSample> CpuSampler::samples() const {
  const uint64_t count = shared_->count.load(std::memory_order_acquire);
  return std::vector<CpuSample>(shared_->samples, shared_->samples + count);
}

bool CpuSampler::target_gone() const { return shared_->target_gone.load(); }

int64_t CpuSampler::peak_pss_bytes() const { return shared_->peak_pss_bytes.load(); }

}  // namespace lull::os
