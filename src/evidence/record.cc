#include "evidence/record.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/os/durable_append.h"
#include "evidence/machine.h"

namespace lull {

std::string UtcNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

Status AppendRecord(const std::string& path, const nlohmann::json& record) {
  if (!record.is_object()) return Status(ErrorCode::kUsage, "a record must be a JSON object", path);
  nlohmann::json full = record;
  if (!full.contains("time")) full["time"] = UtcNow();
  if (!full.contains("machine")) full["machine"] = ToJson(ReadMachine());
  // Bytes that are not UTF-8 are replaced: a record is written rather than lost.
  return os::AppendLine(path, full.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace lull
