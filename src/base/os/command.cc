#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/os.h"

extern char** environ;

namespace lull::os {
namespace {

struct Pipe {
  int read_fd = -1;
  int write_fd = -1;
  bool Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return false;
    read_fd = fds[0];
    write_fd = fds[1];
    return true;
  }
  void CloseWrite() {
    if (write_fd >= 0) close(write_fd);
    write_fd = -1;
  }
  ~Pipe() {
    CloseWrite();
    if (read_fd >= 0) close(read_fd);
  }
};

// Reads both pipes to their ends, so that the child never blocks on a full one.
void Drain(Pipe& out, Pipe& err, std::string* out_text, std::string* err_text) {
  pollfd fds[2] = {{out.read_fd, POLLIN, 0}, {err.read_fd, POLLIN, 0}};
  std::string* texts[2] = {out_text, err_text};
  int open_pipes = 2;
  char buffer[8192];
  while (open_pipes > 0) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
      if (n > 0) {
        texts[i]->append(buffer, static_cast<size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        fds[i].fd = -1;
        --open_pipes;
      }
    }
  }
}

}  // namespace

Result<std::string> RunCommand(const std::vector<std::string>& argv) {
  Pipe out, err;
  if (argv.empty()) return Status(ErrorCode::kInternal, "no program to start", "command");
  if (!out.Open() || !err.Open())
    return Status(ErrorCode::kIo, std::string("cannot make a pipe: ") + strerror(errno), argv[0]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write_fd, 1);
  posix_spawn_file_actions_adddup2(&actions, err.write_fd, 2);
  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  pid_t pid = 0;
  const int rc = posix_spawnp(&pid, args[0], &actions, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) {
    const char* hint = rc == EPERM ? "a sandboxed process starts none (sandbox.h)" : "";
    return Status(ErrorCode::kIo, std::string("cannot start: ") + strerror(rc), argv[0], hint);
  }
  out.CloseWrite();
  err.CloseWrite();
  std::string out_text, err_text;
  Drain(out, err, &out_text, &err_text);
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) {
    if (err_text.size() > 600) err_text = "..." + err_text.substr(err_text.size() - 600);
    return Status(ErrorCode::kIo, "the program failed: " + err_text, argv[0]);
  }
  return out_text;
}

Status SyncFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Status(ErrorCode::kIo, std::string("cannot open: ") + strerror(errno), path);
  const int rc = fsync(fd);
  close(fd);
  if (rc != 0) return Status(ErrorCode::kIo, std::string("cannot flush: ") + strerror(errno), path);
  return Status();
}

}  // namespace lull::os
