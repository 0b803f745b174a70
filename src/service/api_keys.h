// The keys that clients may come with, kept as SHA-256 alone. Read-only after they are set up:
// Find is thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "lull/status.h"

namespace lull {

struct ApiKey {
  std::string account;  // whose it is: the name under which its requests share
  Sha256Digest digest{};
  bool admin = false;  // may change the budget and the models
};

class ApiKeys {
 public:
  // Lines NAME:KEY or NAME:KEY:admin; empty ones and those that begin with # are skipped. KEY is a
  // key, or the 64 hexadecimal digits of its SHA-256. where: the file's name, for errors.
  static Result<ApiKeys> Parse(std::string_view text, const std::string& where);

  // kUsage where the name or the key is none.
  Status Add(const std::string& account, std::string_view key, bool admin);
  // The key, or null. Takes the same time whatever part of it is right.
  const ApiKey* Find(std::string_view presented) const;
  bool empty() const { return keys_.empty(); }
  size_t size() const { return keys_.size(); }
  bool has_admin() const;
  // Some line held a key itself, not its SHA-256.
  bool holds_plain_keys() const { return plain_; }

  // The line of Parse that stands for a key.
  static std::string Line(const std::string& account, std::string_view key, bool admin);

 private:
  std::vector<ApiKey> keys_;
  bool plain_ = false;
};

// 1 to 64 letters, digits, dots, dashes or underscores.
bool IsAccountName(std::string_view name);

}  // namespace lull
