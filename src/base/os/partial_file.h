// A file that grows, over several processes if need be, until it is whole and takes its name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "lull/status.h"

namespace lull::os {

// The file is its own lock: whoever has it open this way is alone with it, and a process that is
// killed leaves the bytes and no lock. Not thread-safe.
class PartialFile {
 public:
  // Creates the file where it is missing; null where another process or thread has it.
  static Result<std::unique_ptr<PartialFile>> TryOpen(const std::string& path);
  ~PartialFile();  // the bytes stay
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t bytes() const { return bytes_; }
  // Hands all bytes to fn in order; an error of fn ends it.
  Status Read(const std::function<Status(std::span<const uint8_t>)>& fn) const;
  // kIo says so where the disk is full; what had been written before stays.
  Status Append(std::span<const uint8_t> bytes);
  Status Clear();
  // Read-only and durable under another name of the same folder's file system. Nothing after it.
  Status Publish(const std::string& path);
  // Removes the file. Nothing after it.
  Status Discard();

 private:
  PartialFile() = default;
  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

}  // namespace lull::os
