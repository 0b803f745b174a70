#include "base/os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

namespace lull::os {

Result<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path,
                                                    const std::function<void()>& on_wait) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return Status(ErrorCode::kIo, std::string("cannot open: ") + strerror(errno), path);
  int flags = LOCK_EX | LOCK_NB;
  while (flock(fd, flags) != 0) {
    if (errno == EWOULDBLOCK) {
      if (on_wait) on_wait();
      flags = LOCK_EX;
      continue;
    }
    if (errno == EINTR) continue;
    const std::string reason = strerror(errno);
    close(fd);
    return Status(ErrorCode::kIo, "cannot lock: " + reason, path);
  }
  return std::unique_ptr<FileLock>(new FileLock(fd));
}

FileLock::~FileLock() { close(fd_); }

}  // namespace lull::os
