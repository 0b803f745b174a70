#include "evidence/record.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/os/durable_append.h"
#include "evidence/build_info.h"
#include "evidence/machine.h"
#include "lull/version.h"

namespace lull {

std::string UtcNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void Complete(nlohmann::json* record) {
  nlohmann::json& full = *record;
  if (!full.contains("time")) full["time"] = UtcNow();
  if (!full.contains("machine")) full["machine"] = ToJson(ReadMachine());
  if (!full.contains("commit")) full["commit"] = BuildCommit();
  if (!full.contains("lull_version")) full["lull_version"] = kVersion;
  if (!full.contains("arithmetic_version")) full["arithmetic_version"] = kArithmeticVersion;
}

Status AppendRecord(const std::string& path, const nlohmann::json& record) {
  if (!record.is_object()) return Status(ErrorCode::kUsage, "a record must be a JSON object", path);
  nlohmann::json full = record;
  Complete(&full);
  // Bytes that are not UTF-8 are replaced: a record is written rather than lost.
  return os::AppendLine(path, full.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace lull
