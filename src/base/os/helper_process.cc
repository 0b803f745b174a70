#include "base/os/helper_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include "base/os/os.h"

namespace lull::os {
namespace {

constexpr size_t kMaxArgumentBytes = 1024;
constexpr size_t kMaxLineBytes = 64 << 10;
constexpr int64_t kGraceMs = 2000;  // from asking a job to give up to ending it

// One line a message: a letter for what it is, then its text with newlines made blanks.
// To the helper: a job, or an end to the one under way. From it: a line of progress, or how it
// ended.
constexpr char kStart = 'S', kGiveUp = 'G';
constexpr char kProgress = 'P', kDone = 'D', kFailed = 'F';
constexpr char kFieldEnd = '\x1f';

std::string Flat(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == kFieldEnd) c = ' ';
  return text.substr(0, kMaxLineBytes / 4);
}

// Sockets here, and pipes between the helper and a job: for those a reader that has gone is a
// signal, which the job ignores.
bool WriteAll(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = write(fd, bytes.data() + sent, bytes.size() - sent);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// Moves the first line of input to line; false where there is none yet.
bool TakeLine(std::string* input, std::string* line) {
  const size_t end = input->find('\n');
  if (end == std::string::npos) return false;
  *line = input->substr(0, end);
  input->erase(0, end + 1);
  return true;
}

// Waits for bytes; false at the end of the other side, or where it sends no lines.
bool ReadMore(int fd, std::string* input) {
  char piece[4096];
  ssize_t n;
  do n = read(fd, piece, sizeof piece);
  while (n < 0 && errno == EINTR);
  if (n <= 0 || input->size() > kMaxLineBytes) return false;
  input->append(piece, static_cast<size_t>(n));
  return true;
}

std::string FailedLine(const Error& error) {
  return kFailed + std::to_string(static_cast<int>(error.code)) + kFieldEnd + Flat(error.message) +
         kFieldEnd + Flat(error.where) + kFieldEnd + Flat(error.hint) + '\n';
}

Status StatusOf(std::string line) {
  std::string fields[4];
  for (std::string& field : fields) {
    const size_t end = std::min(line.find(kFieldEnd), line.size());
    field = line.substr(0, end);
    line.erase(0, std::min(end + 1, line.size()));
  }
  const int code = atoi(fields[0].c_str());
  const bool known =
      code > static_cast<int>(ErrorCode::kOk) && code <= static_cast<int>(ErrorCode::kInternal);
  return Status(known ? static_cast<ErrorCode>(code) : ErrorCode::kInternal, fields[1], fields[2],
                fields[3]);
}

// In the process of a job.

volatile sig_atomic_t asked_to_give_up = 0;

[[noreturn]] void RunJob(const HelperProcess::Job& job, const std::string& argument, int out,
                         pid_t helper) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != helper) _exit(0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, [](int) { asked_to_give_up = 1; });
  if (nice(19) < 0) errno = 0;  // its CPU time is in nobody's budget: let everybody else go first
  const auto report = [out](const std::string& line) {
    return asked_to_give_up == 0 && WriteAll(out, kProgress + Flat(line) + '\n');
  };
  Status status;
  try {
    status = job(argument, report);
  } catch (const std::exception& error) {
    status = Status(ErrorCode::kInternal, error.what(), argument);
  }
  WriteAll(out, status.ok() ? std::string{kDone, '\n'} : FailedLine(status.error()));
  _exit(0);
}

// In the helper.

struct RunningJob {
  pid_t pid = -1;
  int out = -1;        // what it says
  bool ended = false;  // it has said how
};

// False where the server has gone.
bool HearServer(int server, std::string* input, const RunningJob& job, int64_t* kill_at_ns) {
  if (!ReadMore(server, input)) return false;
  std::string line;
  while (TakeLine(input, &line)) {
    if (line[0] != kGiveUp || *kill_at_ns > 0) continue;
    kill(-job.pid, SIGTERM);
    *kill_at_ns = MonotonicNs() + kGraceMs * 1'000'000;
  }
  return true;
}

// Passes on whole lines; false at the job's end: what the server sends after the last one is the
// next job.
bool HearJob(int server, std::string* said, RunningJob* job) {
  if (!ReadMore(job->out, said)) return false;
  std::string line;
  while (!job->ended && TakeLine(said, &line)) {
    job->ended = line[0] != kProgress;
    WriteAll(server, line + '\n');
  }
  return !job->ended;
}

// Until the job ends. False where the server has gone.
bool Relay(int server, std::string* input, RunningJob* job) {
  std::string said;
  int64_t kill_at_ns = 0;
  for (;;) {
    pollfd fds[2] = {{job->out, POLLIN, 0}, {server, POLLIN, 0}};
    const int64_t left_ms =
        kill_at_ns == 0 ? -1 : std::max<int64_t>((kill_at_ns - MonotonicNs()) / 1'000'000 + 1, 0);
    const int ready = poll(fds, 2, static_cast<int>(left_ms));
    if (ready < 0 && errno != EINTR) return false;
    if (ready == 0) kill(-job->pid, SIGKILL);
    if (ready <= 0) continue;
    if (fds[1].revents != 0 && !HearServer(server, input, *job, &kill_at_ns)) return false;
    if (fds[0].revents != 0 && !HearJob(server, &said, job)) return true;
  }
}

std::string HowItEnded(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return "";
  return std::string(" (") + strsignal(WTERMSIG(wait_status)) + ")";
}

bool SendError(int server, const std::string& message, const char* hint) {
  return WriteAll(server, FailedLine({ErrorCode::kIo, message, "helper", hint}));
}

// Starts a job; pid -1 where the system refuses, errno says why.
RunningJob StartJob(int server, const HelperProcess::Job& job, const std::string& argument) {
  RunningJob running;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return running;
  const pid_t helper = getpid();
  running.pid = fork();
  if (running.pid == 0) {
    close(server);
    close(fds[0]);
    RunJob(job, argument, fds[1], helper);
  }
  close(fds[1]);
  running.out = fds[0];
  if (running.pid > 0)
    setpgid(running.pid, running.pid);
  else
    close(fds[0]);
  return running;
}

// False where the server has gone.
bool Oversee(int server, std::string* input, const HelperProcess::Job& job,
             const std::string& argument) {
  RunningJob running = StartJob(server, job, argument);
  if (running.pid < 0)
    return SendError(server, std::string("cannot start a process: ") + strerror(errno), "");
  const bool there = Relay(server, input, &running);
  close(running.out);
  kill(-running.pid, SIGKILL);  // what it has started, too
  int wait_status = 0;
  while (waitpid(running.pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (!there || running.ended) return there;
  return SendError(server, "the helper's job ended early" + HowItEnded(wait_status), "try again");
}

// The helper's life: job after job until the other side has gone.
void Serve(int server, const HelperProcess::Job& job) {
  std::string input, line;
  for (;;) {
    while (!TakeLine(&input, &line))
      if (!ReadMore(server, &input)) return;
    if (line[0] == kStart && !Oversee(server, &input, job, line.substr(1))) return;
  }
}

}  // namespace

Result<std::unique_ptr<HelperProcess>> HelperProcess::Start(Job job, const Limits& limits) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return Status(ErrorCode::kIo, std::string("cannot make a socket: ") + strerror(errno),
                  "helper");
  const pid_t pid = fork();
  if (pid < 0) {
    close(fds[0]);
    close(fds[1]);
    return Status(ErrorCode::kIo, std::string("cannot fork: ") + strerror(errno), "helper");
  }
  if (pid == 0) {
    close(fds[0]);
    signal(SIGINT, SIG_IGN);  // a terminal's ^C is for the server, which drains
    Serve(fds[1], job);
    _exit(0);
  }
  close(fds[1]);
  std::unique_ptr<HelperProcess> helper(new HelperProcess());
  helper->limits_ = limits;
  helper->fd_ = fds[0];
  helper->pid_ = pid;
  return helper;
}

HelperProcess::~HelperProcess() {
  close(fd_);  // it reads the end
  int status = 0;
  waitpid(pid_, &status, WNOHANG);
}

Status HelperProcess::Do(const std::string& argument, const OnLine& on_line) {
  if (argument.find('\n') != std::string::npos || argument.size() > kMaxArgumentBytes)
    return Status(ErrorCode::kUsage, "no job's argument", "helper");
  std::lock_guard<std::mutex> lock(mutex_);
  if (lost_ || !WriteAll(fd_, kStart + argument + '\n')) return Lost("has gone");
  return Await(on_line);
}

// The next line, for a tick at most.
HelperProcess::Heard HelperProcess::Listen(std::string* line) {
  const int64_t until_ns = MonotonicNs() + limits_.tick_ms * 1'000'000;
  while (!TakeLine(&input_, line)) {
    const int64_t left_ms = (until_ns - MonotonicNs()) / 1'000'000;
    if (left_ms <= 0) return Heard::kNothing;
    pollfd poll_fd = {fd_, POLLIN, 0};
    const int ready = poll(&poll_fd, 1, static_cast<int>(left_ms));
    if (ready > 0 && !ReadMore(fd_, &input_)) return Heard::kEnd;
  }
  return Heard::kLine;
}

Status HelperProcess::Await(const OnLine& on_line) {
  std::string line, last;
  bool any = false;
  int64_t heard_ns = MonotonicNs();
  for (;;) {
    const Heard heard = Listen(&line);
    if (heard == Heard::kEnd) return Lost("has gone");
    if (heard == Heard::kLine && line[0] == kDone) return Status();
    if (heard == Heard::kLine && line[0] == kFailed) return StatusOf(line.substr(1));
    if (heard == Heard::kLine) {
      any = true;
      last = line.substr(std::min<size_t>(1, line.size()));
      heard_ns = MonotonicNs();
    }
    if (any && on_line != nullptr && !on_line(last))
      return GiveUp(Status(ErrorCode::kCancelled, "cancelled", "helper"));
    const int64_t silent_ms = (MonotonicNs() - heard_ns) / 1'000'000;
    if (silent_ms > limits_.silence_ms)
      return GiveUp(Status(
          ErrorCode::kIo,
          "the helper's job has said nothing for " + std::to_string(silent_ms / 1000) + " seconds",
          "helper", "try again"));
  }
}

// Ends the job under way; returns why, unless the helper does not answer.
Status HelperProcess::GiveUp(Status why) {
  if (!WriteAll(fd_, {kGiveUp, '\n'})) return Lost("has gone");
  const int64_t until_ns = MonotonicNs() + limits_.end_ms * 1'000'000;
  std::string line;
  while (MonotonicNs() < until_ns) {
    const Heard heard = Listen(&line);
    if (heard == Heard::kEnd) return Lost("has gone");
    if (heard == Heard::kLine && (line[0] == kDone || line[0] == kFailed)) return why;
  }
  return Lost("does not answer");
}

// For good: what it would say later belongs to no job.
Status HelperProcess::Lost(const char* how) {
  if (!lost_) shutdown(fd_, SHUT_RDWR);
  lost_ = true;
  return Status(ErrorCode::kIo, std::string("the helper process ") + how, "helper",
                "start the server again");
}

}  // namespace lull::os
