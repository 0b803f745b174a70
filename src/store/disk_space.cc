#include "store/disk_space.h"

#include <filesystem>

namespace lull {

Status CheckDiskSpace(const std::string& folder, uint64_t bytes) {
  constexpr uint64_t kSpareBytes = 64 << 20;
  std::error_code ec;
  const std::filesystem::space_info space = std::filesystem::space(folder, ec);
  if (bytes == 0 || ec || space.available >= kSpareBytes + bytes) return Status();
  return Status(ErrorCode::kIo,
                "not enough disk space: " + std::to_string(kSpareBytes + bytes) +
                    " bytes needed, " + std::to_string(space.available) + " available",
                folder, "free some space or set LULL_HOME to another disk");
}

}  // namespace lull
