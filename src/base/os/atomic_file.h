// A file that appears under its name only when complete: written beside it, synced, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lull/status.h"

namespace lull::os {

// Not thread-safe. Without Commit, the destructor removes what was written.
class AtomicFile {
 public:
  static Result<std::unique_ptr<AtomicFile>> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Claims the space of the whole file, where the file system can: a full disk is then an error
  // before the first byte, not after gigabytes. Requires: exactly that many bytes are written.
  Status Reserve(uint64_t bytes);
  Status Write(std::span<const uint8_t> bytes);
  // Removes what processes that no longer run left unfinished of a file of this name.
  static void RemoveAbandoned(const std::string& path);

  // Makes the file durable under its name. No further writes.
  Status Commit();
  // Under its name, complete for every reader, but a power cut may lose it. For scratch files.
  Status CommitWithoutSync();

 private:
  AtomicFile() = default;
  std::string path_;
  std::string temporary_path_;
  int fd_ = -1;
};

}  // namespace lull::os
