#include "base/os/durable_append.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lull::os {
namespace {

Status IoError(const std::string& what, const std::string& path) {
  return Status(ErrorCode::kIo, what + ": " + strerror(errno), path);
}

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Requires: fd is locked, so that the size read is the size cut back to.
Status AppendLocked(int fd, const std::string& path, const std::string& line) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return IoError("cannot read the file's size", path);
  std::string text;
  char last = '\n';
  if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n')
    text.push_back('\n');
  text += line;
  text += '\n';
  if (WriteAll(fd, text.data(), text.size()) && fsync(fd) == 0) return Status::Ok();
  const Status error = IoError("cannot append a record", path);
  if (ftruncate(fd, st.st_size) != 0) {
    return Status(ErrorCode::kIo, error.error().message + "; a partial line may remain", path);
  }
  return error;
}

}  // namespace

Status AppendLine(const std::string& path, const std::string& line) {
  if (line.find('\n') != std::string::npos)
    return Status(ErrorCode::kUsage, "a record line may not contain a newline", path);
  int fd;
  do fd = open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return IoError("cannot open the record file", path);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const Status error = IoError("cannot lock the record file", path);
    close(fd);
    return error;
  }
  const Status status = AppendLocked(fd, path, line);
  close(fd);
  return status;
}

}  // namespace lull::os
