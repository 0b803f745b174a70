#include "base/os/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/os/sync_folder.h"

namespace lull::os {
namespace {

Status IoError(const std::string& what, const std::string& path) {
  return Status(ErrorCode::kIo, what + ": " + strerror(errno), path);
}

}  // namespace

void SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

Result<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  std::unique_ptr<AtomicFile> file(new AtomicFile());
  file->path_ = path;
  file->temporary_path_ =
      path + "." + std::to_string(getpid()) + "-" + std::to_string(counter++) + ".partial";
  file->fd_ = open(file->temporary_path_.c_str(),
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file->fd_ < 0) return IoError("cannot create file", file->temporary_path_);
  return file;
}

void AtomicFile::RemoveAbandoned(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path whole(path);
  const std::string prefix = whole.filename().string() + ".";
  std::error_code ec;
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".partial")) continue;
    const int pid = atoi(name.c_str() + prefix.size());
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) unlink(it->path().c_str());
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_path_.c_str());
}

Status AtomicFile::Reserve(uint64_t bytes) {
  int result = 0;
  do {
    result = fallocate(fd_, 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return Status::Ok();
  return IoError("cannot reserve " + std::to_string(bytes) + " bytes", temporary_path_);
}

Status AtomicFile::Write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return IoError("cannot write file", temporary_path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return Status::Ok();
}

Status AtomicFile::Commit() {
  if (fd_ >= 0 && fsync(fd_) != 0) return IoError("cannot sync file", temporary_path_);
  LULL_RETURN_IF_ERROR(CommitWithoutSync());
  SyncFolderOf(path_);
  return Status::Ok();
}

Status AtomicFile::CommitWithoutSync() {
  if (fd_ < 0) return Status(ErrorCode::kInternal, "file is committed already", path_);
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0)
    return IoError("cannot rename file", path_);
  close(fd_);
  fd_ = -1;
  return Status::Ok();
}

}  // namespace lull::os
