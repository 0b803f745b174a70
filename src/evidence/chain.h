// Records that hold together: each is signed and holds the hash of what stands before it, and a
// file beside them says how many there are. docs/design/evidence.md has the format.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/signing.h"
#include "lull/status.h"

namespace lull {

// Where the head of a record file lies.
std::string HeadPathOf(const std::string& path);

// Appends the record, with "chain", "key" and "signature", and moves the head. Where the head says
// that records are missing at the end, the new one goes on after them, so that the gap stays
// visible. Several processes may append at once. Requires: record is an object without these keys.
Status AppendSigned(const std::string& path, const nlohmann::json& record, const SigningKey& key);

struct ChainFinding {
  int64_t line = 0;  // from 1 on; one beyond the last: the end of the file
  std::string problem;
};

struct ChainReport {
  int64_t records = 0;
  int64_t unsigned_records = 0;        // from before records were signed: nothing vouches for them
  std::vector<std::string> keys;       // that signed, each once
  std::vector<ChainFinding> findings;  // empty: nothing is missing, altered or out of order
  std::vector<std::string> notes;      // for people; no finding
  bool ok() const { return findings.empty(); }
};

// head: the text of the head file; nothing where there is none. expected_key: 64 hex digits, or
// empty to accept any.
ChainReport VerifyChainText(const std::string& records, const std::optional<std::string>& head,
                            const std::string& expected_key);
// kNotFound where the file is missing.
Result<ChainReport> VerifyChain(const std::string& path, const std::string& expected_key);

}  // namespace lull
