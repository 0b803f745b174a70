#include "base/os/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/durable_append.h"

namespace lull::os {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;

}  // namespace

Result<PrivateText> ReadPrivateFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return Status(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                  std::string("cannot open: ") + strerror(errno), path);
  PrivateText file;
  struct stat st {};
  if (fstat(fd, &st) == 0) file.others_may_read = (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
  char piece[4096];
  ssize_t bytes = 0;
  while (file.text.size() <= kMaxBytes) {
    bytes = read(fd, piece, sizeof piece);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    file.text.append(piece, static_cast<size_t>(bytes));
  }
  const int error = bytes < 0 ? errno : 0;
  close(fd);
  if (error != 0)
    return Status(ErrorCode::kIo, std::string("cannot read: ") + strerror(error), path);
  if (file.text.size() > kMaxBytes)
    return Status(ErrorCode::kInvalidInput, "longer than a MiB", path);
  return file;
}

Status AppendPrivateLine(const std::string& path, const std::string& line) {
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Status(ErrorCode::kIo, std::string("cannot open: ") + strerror(errno), path);
  close(fd);
  return AppendLine(path, line);
}

}  // namespace lull::os
