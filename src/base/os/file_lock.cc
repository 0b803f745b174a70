#include "base/os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

namespace lull::os {

namespace {

Result<int> Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return Status(ErrorCode::kIo, std::string("cannot open: ") + strerror(errno), path);
  return fd;
}

// True: locked; false: another has it and flags say not to wait.
Result<bool> Lock(int fd, int flags, const std::string& path) {
  while (flock(fd, flags) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR)
      return Status(ErrorCode::kIo, std::string("cannot lock: ") + strerror(errno), path);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<FileLock>> FileLock::TryAcquire(const std::string& path) {
  LULL_ASSIGN_OR_RETURN(const int fd, Open(path));
  std::unique_ptr<FileLock> lock(new FileLock(fd));
  LULL_ASSIGN_OR_RETURN(const bool locked, Lock(fd, LOCK_EX | LOCK_NB, path));
  if (!locked) lock.reset();
  return lock;
}

Result<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path,
                                                    const std::function<void()>& on_wait) {
  LULL_ASSIGN_OR_RETURN(const int fd, Open(path));
  std::unique_ptr<FileLock> lock(new FileLock(fd));
  LULL_ASSIGN_OR_RETURN(const bool locked, Lock(fd, LOCK_EX | LOCK_NB, path));
  if (locked) return lock;
  if (on_wait) on_wait();
  LULL_RETURN_IF_ERROR(Lock(fd, LOCK_EX, path).status());
  return lock;
}

FileLock::~FileLock() { close(fd_); }

}  // namespace lull::os
