#include "base/os/partial_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "base/os/sync_folder.h"

namespace lull::os {
namespace {

Status IoError(const char* what, const std::string& path) {
  return Status(ErrorCode::kIo, std::string(what) + ": " + strerror(errno), path);
}

// Whether path still names what fd is: who held the lock before may have renamed or removed it.
bool StillNamed(int fd, const std::string& path) {
  struct stat mine = {}, named = {};
  return fstat(fd, &mine) == 0 && stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino &&
         mine.st_dev == named.st_dev;
}

}  // namespace

Result<std::unique_ptr<PartialFile>> PartialFile::TryOpen(const std::string& path) {
  for (;;) {
    std::unique_ptr<PartialFile> file(new PartialFile());
    file->path_ = path;
    file->fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file->fd_ < 0) return IoError("cannot write", path);
    if (flock(file->fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::unique_ptr<PartialFile>();
      if (errno == EINTR) continue;
      return IoError("cannot lock", path);
    }
    if (!StillNamed(file->fd_, path)) continue;
    struct stat status = {};
    if (fstat(file->fd_, &status) != 0) return IoError("cannot read", path);
    file->bytes_ = static_cast<uint64_t>(status.st_size);
    return file;
  }
}

PartialFile::~PartialFile() {
  if (fd_ >= 0) close(fd_);
}

Status PartialFile::Read(const std::function<Status(std::span<const uint8_t>)>& fn) const {
  std::vector<uint8_t> buffer(1 << 20);
  for (uint64_t at = 0; at < bytes_;) {
    const ssize_t n = pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return IoError("cannot read", path_);
    if (n == 0) return Status(ErrorCode::kIo, "the file became shorter", path_);
    LULL_RETURN_IF_ERROR(fn(std::span<const uint8_t>(buffer.data(), static_cast<size_t>(n))));
    at += static_cast<uint64_t>(n);
  }
  return Status();
}

Status PartialFile::Append(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(bytes_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
      return Status(ErrorCode::kIo, "cannot write: the disk is full", path_,
                    "free some space; what has been fetched stays");
    if (n < 0) return IoError("cannot write", path_);
    bytes_ += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return Status();
}

Status PartialFile::Clear() {
  if (bytes_ == 0) return Status();
  if (ftruncate(fd_, 0) != 0) return IoError("cannot shorten", path_);
  bytes_ = 0;
  return Status();
}

Status PartialFile::Publish(const std::string& path) {
  if (fchmod(fd_, 0444) != 0) return IoError("cannot protect", path_);
  if (fsync(fd_) != 0) return IoError("cannot sync", path_);
  if (rename(path_.c_str(), path.c_str()) != 0) return IoError("cannot rename", path);
  SyncFolderOf(path);
  return Status();
}

Status PartialFile::Discard() {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) return IoError("cannot remove", path_);
  return Status();
}

}  // namespace lull::os
