#include "base/os/helper_process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>

namespace lull::os {
namespace {

constexpr size_t kMaxLineBytes = 64 << 10;

// One line a message: a letter for what it is, then its text with newlines made blanks.
constexpr char kProgress = 'P', kDone = 'D', kFailed = 'F';
constexpr char kFieldEnd = '\x1f';

std::string Flat(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == kFieldEnd) c = ' ';
  return text.substr(0, kMaxLineBytes / 4);
}

bool SendLine(int fd, std::string line) {
  line += '\n';
  size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t n = send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// False at the end of the other side, or where it sends no lines.
bool ReadLine(int fd, std::string* input, std::string* line) {
  for (;;) {
    const size_t end = input->find('\n');
    if (end != std::string::npos) {
      *line = input->substr(0, end);
      input->erase(0, end + 1);
      return true;
    }
    char piece[4096];
    const ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || input->size() > kMaxLineBytes) return false;
    input->append(piece, static_cast<size_t>(n));
  }
}

// A line of progress is answered: go on, or give up.
constexpr char kGoOn[] = "+", kGiveUp[] = "-";

Status RunJob(const HelperProcess::Job& job, const std::string& argument, int fd,
              std::string* input) {
  const auto report = [fd, input](const std::string& line) {
    std::string answer;
    return SendLine(fd, kProgress + Flat(line)) && ReadLine(fd, input, &answer) && answer == kGoOn;
  };
  try {
    return job(argument, report);
  } catch (const std::exception& error) {
    return Status(ErrorCode::kInternal, error.what(), argument);
  }
}

// The helper's life: job after job until the other side has gone.
void Serve(int fd, const HelperProcess::Job& job) {
  std::string input, argument;
  while (ReadLine(fd, &input, &argument)) {
    const Status status = RunJob(job, argument, fd, &input);
    std::string line(1, kDone);
    if (!status.ok()) {
      const Error& error = status.error();
      line = kFailed + std::to_string(static_cast<int>(error.code)) + kFieldEnd +
             Flat(error.message) + kFieldEnd + Flat(error.where) + kFieldEnd + Flat(error.hint);
    }
    if (!SendLine(fd, line)) return;
  }
}

Status StatusOf(std::string line) {
  std::string fields[4];
  for (std::string& field : fields) {
    const size_t end = std::min(line.find(kFieldEnd), line.size());
    field = line.substr(0, end);
    line.erase(0, std::min(end + 1, line.size()));
  }
  return Status(static_cast<ErrorCode>(atoi(fields[0].c_str())), fields[1], fields[2], fields[3]);
}

}  // namespace

Result<std::unique_ptr<HelperProcess>> HelperProcess::Start(Job job) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return Status(ErrorCode::kIo, std::string("cannot make a socket: ") + strerror(errno),
                  "helper");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    close(fds[0]);
    close(fds[1]);
    return Status(ErrorCode::kIo, std::string("cannot fork: ") + strerror(errno), "helper");
  }
  if (pid == 0) {
    close(fds[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);  // a terminal's ^C is for the server, which drains
    if (getppid() == parent) Serve(fds[1], job);
    _exit(0);
  }
  close(fds[1]);
  std::unique_ptr<HelperProcess> helper(new HelperProcess());
  helper->fd_ = fds[0];
  helper->pid_ = pid;
  return helper;
}

HelperProcess::~HelperProcess() {
  close(fd_);  // it reads the end, or is killed with this process
  int status = 0;
  waitpid(pid_, &status, WNOHANG);
}

Status HelperProcess::Do(const std::string& argument, const OnLine& on_line) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Status gone(ErrorCode::kIo, "the helper process has gone", "helper",
                    "start the server again");
  if (!SendLine(fd_, argument)) return gone;
  std::string line;
  while (ReadLine(fd_, &input_, &line)) {
    if (line.starts_with(kDone)) return Status();
    if (line.starts_with(kFailed)) return StatusOf(line.substr(1));
    const bool go_on = on_line == nullptr || on_line(line.substr(1));
    if (!SendLine(fd_, go_on ? kGoOn : kGiveUp)) break;
  }
  return gone;
}

}  // namespace lull::os
