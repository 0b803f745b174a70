// What a sandboxed process can and cannot do, tried in a child; and the helper beside it.
#include "base/os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/os/helper_process.h"
#include "base/os/limits.h"
#include "base/os/notify.h"
#include "base/os/os.h"
#include "base/os/private_file.h"

namespace lull::os {
namespace {

bool Refused(long rc) { return rc == -1 && errno == EPERM; }

// The number of the first thing that is not as it should be; 0: all is.
int TryEverything() {
  char* const none[] = {nullptr};
  int step = 0;
  auto check = [&, failed = 0](bool right) mutable {
    ++step;
    if (!right && failed == 0) failed = step;
    return failed;
  };
  check(Refused(execve("/bin/true", none, none)));
  check(Refused(syscall(SYS_fork)));
  check(Refused(syscall(SYS_vfork)));
  check(!RunCommand({"true"}).ok());
  check(Refused(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)));
  check(Refused(mount("none", "/tmp", "tmpfs", 0, nullptr)));
  check(Refused(syscall(SYS_unshare, 0)));
  check(Refused(kill(getppid(), 0)));
  check(Refused(socket(AF_NETLINK, SOCK_RAW, 0)));
  check(Refused(syscall(SYS_io_uring_setup, 1, nullptr)));
  void* both =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(both == MAP_FAILED && errno == EPERM);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(Refused(mprotect(page, 4096, PROT_READ | PROT_EXEC)));
  check(Refused(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)));
  check(Refused(ioctl(0, TIOCSTI, "x")));
  check(Refused(syscall(SYS_ioctl, 0, TIOCSTI | 1L << 32, "x")));
  // And what a server does.
  check(mprotect(page, 4096, PROT_READ) == 0);
  check(kill(getpid(), 0) == 0);
  check(socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
  check(open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0);
  bool ran = false;
  std::thread([&] { ran = true; }).join();
  check(ran);
  return check(CurrentRssBytes() > 0);
}

// Runs fn in a child and returns what it returned.
template <typename Fn>
int InChild(Fn fn) {
  const pid_t pid = fork();
  if (pid == 0) _exit(fn());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Sandbox, RefusesWhatAServerNeverDoes) {
  constexpr int kNoFilters = 100;
  const int rc = InChild([] { return EnterSandbox().ok() ? TryEverything() : kNoFilters; });
  if (rc == kNoFilters) GTEST_SKIP() << "no filters here";
  EXPECT_EQ(rc, 0) << "the number of the check that failed";
}

TEST(Sandbox, HoldsThreadsThatWereThereBefore) {
  const int rc = InChild([] {
    std::atomic<bool> entered{false};
    bool refused = false;
    std::thread early([&] {
      while (!entered.load()) std::this_thread::yield();
      refused = Refused(syscall(SYS_fork));
    });
    const bool ok = EnterSandbox().ok();
    entered.store(true);
    early.join();
    return !ok || refused ? 0 : 1;
  });
  EXPECT_EQ(rc, 0);
}

TEST(HelperProcess, DoesItsJobForASandboxedProcess) {
  const int rc = InChild([] {
    auto helper = HelperProcess::Start([](const std::string& argument, const auto& report) {
      if (!report("first\nline")) return Status(ErrorCode::kCancelled, "given up", "");
      report("second");
      if (argument == "bad") return Status(ErrorCode::kNotFound, "no", "there", "try");
      return RunCommand({"true"}).ok() ? Status() : Status(ErrorCode::kInternal, "x", "y");
    });
    if (!helper.ok()) return 1;
    if (!EnterSandbox().ok()) return 0;
    std::string lines;
    const auto on_line = [&](const std::string& line) { return lines += line + ";", true; };
    if (!(*helper)->Do("good", on_line).ok() || lines != "first line;second;") return 2;
    const Status bad = (*helper)->Do("bad", on_line);
    if (bad.code() != ErrorCode::kNotFound || bad.error().where != "there" ||
        bad.error().hint != "try")
      return 3;
    const auto no = [](const std::string&) { return false; };
    if ((*helper)->Do("good", no).code() != ErrorCode::kCancelled) return 5;
    return (*helper)->Do("good", nullptr).ok() ? 0 : 4;
  });
  EXPECT_EQ(rc, 0);
}

// No lines, into the pipe that this process was given.
void WriteNoise() {
  const std::string noise(200'000, 'x');
  for (int fd = 3; fd < 64; ++fd) {
    char target[64] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const bool pipe = readlink(link.c_str(), target, 63) > 0 && strncmp(target, "pipe:", 5) == 0;
    if (pipe && (fcntl(fd, F_GETFL) & O_WRONLY) != 0 && write(fd, noise.data(), 200'000) < 0)
      return;
  }
}

Status DoAsToldTo(const std::string& argument, const HelperProcess::OnLine& report) {
  if (argument == "pid") report(std::to_string(getpid()));
  if (argument == "die") kill(getpid(), SIGKILL);
  if (argument == "throw") throw std::runtime_error("thrown");
  if (argument == "noise") WriteNoise();
  if (argument == "hang") {
    report("hanging");
    return RunCommand({"sleep", "600"}).status();
  }
  if (argument == "deaf") {
    signal(SIGTERM, SIG_IGN);
    report(std::to_string(getpid()));
    for (;;) pause();
  }
  return Status();
}

bool IsAlive(int pid) { return pid > 0 && kill(pid, 0) == 0; }

template <typename Fn>
bool Becomes(Fn fn) {
  for (int i = 0; i < 3000 && !fn(); ++i) usleep(10'000);
  return fn();
}

TEST(HelperProcess, AJobsDeathIsItsErrorAlone) {
  auto helper = HelperProcess::Start(DoAsToldTo);
  ASSERT_TRUE(helper.ok());
  EXPECT_TRUE((*helper)->Do("live", nullptr).ok());
  const Status died = (*helper)->Do("die", nullptr);
  EXPECT_EQ(died.code(), ErrorCode::kIo);
  EXPECT_NE(died.error().message.find("ended early"), std::string::npos) << died.ToString();
  EXPECT_EQ((*helper)->Do("throw", nullptr).error().message, "thrown");
  EXPECT_FALSE((*helper)->Do("two\nlines", nullptr).ok());
  EXPECT_FALSE((*helper)->Do(std::string(2000, 'x'), nullptr).ok());
  // Bytes that are no lines, wherever they go.
  EXPECT_FALSE((*helper)->Do("noise", nullptr).ok());
  EXPECT_TRUE((*helper)->Do("live", nullptr).ok());
  kill((*helper)->pid(), SIGKILL);
  for (int i = 0; i < 2; ++i) {
    const Status gone = (*helper)->Do("live", nullptr);
    EXPECT_EQ(gone.code(), ErrorCode::kIo);
    EXPECT_NE(gone.error().message.find("has gone"), std::string::npos);
  }
}

TEST(HelperProcess, AJobThatHangsIsEnded) {
  auto impatient = HelperProcess::Start(DoAsToldTo, {.tick_ms = 10, .silence_ms = 200});
  auto helper = HelperProcess::Start(DoAsToldTo, {.tick_ms = 10});
  ASSERT_TRUE(impatient.ok() && helper.ok());
  const Status silent = (*impatient)->Do("hang", nullptr);
  EXPECT_EQ(silent.code(), ErrorCode::kIo);
  EXPECT_NE(silent.error().message.find("has said nothing"), std::string::npos);
  // The one who asks is asked again while nothing comes, and may leave.
  int asked = 0;
  const auto leave = [&](const std::string& line) { return line != "hanging" || ++asked < 3; };
  EXPECT_EQ((*helper)->Do("hang", leave).code(), ErrorCode::kCancelled);
  int deaf = 0;
  const auto keep_pid = [&](const std::string& line) { return deaf = atoi(line.c_str()), false; };
  EXPECT_EQ((*helper)->Do("deaf", keep_pid).code(), ErrorCode::kCancelled);
  EXPECT_FALSE(IsAlive(deaf)) << deaf;
  EXPECT_TRUE((*helper)->Do("live", nullptr).ok());
}

TEST(HelperProcess, AHelperThatStopsIsAnError) {
  auto helper = HelperProcess::Start(DoAsToldTo, {.tick_ms = 10, .silence_ms = 50, .end_ms = 50});
  ASSERT_TRUE(helper.ok());
  kill((*helper)->pid(), SIGSTOP);
  const Status status = (*helper)->Do("live", nullptr);
  EXPECT_EQ(status.code(), ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("does not answer"), std::string::npos);
  kill((*helper)->pid(), SIGKILL);
}

// Idle or within a job that ignores signals.
TEST(HelperProcess, EndsWithItsProcessHoweverThatEnds) {
  for (const bool working : {false, true}) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const pid_t owner = fork();
    if (owner == 0) {
      auto helper = HelperProcess::Start(DoAsToldTo);
      int pids[2] = {helper.ok() ? (*helper)->pid() : -1, 0};
      const auto tell = [&](const std::string& line) {
        pids[1] = atoi(line.c_str());
        return write(fds[1], pids, sizeof pids) == sizeof pids;
      };
      if (working && (*helper)->Do("deaf", tell).ok()) _exit(1);
      tell("0");
      for (;;) pause();
    }
    int pids[2] = {};
    ASSERT_EQ(read(fds[0], pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
    EXPECT_TRUE(IsAlive(pids[0]));
    EXPECT_EQ(IsAlive(pids[1]), working);
    kill(owner, SIGKILL);
    waitpid(owner, nullptr, 0);
    EXPECT_TRUE(Becomes([&] { return !IsAlive(pids[0]) && !IsAlive(pids[1]); }));
    close(fds[0]);
    close(fds[1]);
  }
}

TEST(Notify, ReachesSocketsByPathAndByName) {
  for (const bool abstract : {false, true}) {
    std::string name = testing::TempDir() + "/notify_" + std::to_string(getpid());
    if (abstract) name = "@lull_notify_" + std::to_string(getpid());
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name.data(), name.size());
    if (abstract) address.sun_path[0] = 0;
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_TRUE(NotifyServiceManager(name, "READY=1").ok());
    char text[64];
    const ssize_t bytes = recv(fd, text, sizeof text, 0);
    EXPECT_EQ(std::string(text, static_cast<size_t>(std::max<ssize_t>(bytes, 0))), "READY=1");
    close(fd);
    unlink(name.c_str());
  }
  EXPECT_FALSE(NotifyServiceManager("/no/such/socket", "READY=1").ok());
  EXPECT_FALSE(NotifyServiceManager("relative", "READY=1").ok());
  EXPECT_FALSE(NotifyServiceManager("/" + std::string(200, 'a'), "READY=1").ok());
}

TEST(PrivateFile, IsForItsOwnerAlone) {
  const std::string path = testing::TempDir() + "/private_" + std::to_string(getpid());
  ASSERT_TRUE(AppendPrivateLine(path, "a").ok());
  ASSERT_TRUE(AppendPrivateLine(path, "b").ok());
  Result<PrivateText> file = ReadPrivateFile(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->text, "a\nb\n");
  EXPECT_FALSE(file->others_may_read);
  chmod(path.c_str(), 0640);
  EXPECT_TRUE(ReadPrivateFile(path)->others_may_read);
  unlink(path.c_str());
  EXPECT_EQ(ReadPrivateFile(path).status().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(ReadPrivateFile("/dev/zero").ok());
}

TEST(Limits, OpenFilesAreRaised) {
  const int64_t before = OpenFileLimit();
  RaiseOpenFileLimit();
  EXPECT_GE(OpenFileLimit(), before);
}

}  // namespace
}  // namespace lull::os
