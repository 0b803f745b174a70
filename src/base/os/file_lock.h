// An exclusive lock between processes, held while the object lives.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lull/status.h"

namespace lull::os {

class FileLock {
 public:
  // Creates the file where it is missing; waits for whoever holds the lock, calling on_wait first.
  static Result<std::unique_ptr<FileLock>> Acquire(const std::string& path,
                                                   const std::function<void()>& on_wait = {});
  // The same, but null where another holds the lock.
  static Result<std::unique_ptr<FileLock>> TryAcquire(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace lull::os
