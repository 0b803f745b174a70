#include "service/api_keys.h"

#include <algorithm>

#include "base/secret.h"

namespace lull {
namespace {

constexpr size_t kMinKeyBytes = 16;
constexpr size_t kMaxKeyBytes = 512;
constexpr size_t kMaxKeys = 4096;  // each is compared with

Sha256Digest DigestOf(std::string_view text) {
  Sha256 sha;
  sha.Update(text.data(), text.size());
  return sha.Digest();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool ReadHexDigest(std::string_view text, Sha256Digest* digest) {
  if (text.size() != 2 * digest->size()) return false;
  for (size_t i = 0; i < digest->size(); ++i) {
    const int high = HexDigit(text[2 * i]), low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*digest)[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

bool IsVisible(char c) { return c > ' ' && c < 0x7F; }

bool IsKey(std::string_view key) {
  return key.size() >= kMinKeyBytes && key.size() <= kMaxKeyBytes &&
         std::all_of(key.begin(), key.end(), IsVisible);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && !IsVisible(text.front())) text.remove_prefix(1);
  while (!text.empty() && !IsVisible(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

bool IsAccountName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

Result<ApiKeys> ApiKeys::Parse(std::string_view text, const std::string& where) {
  ApiKeys keys;
  int number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const bool admin = line.ends_with(":admin");
    if (admin) line.remove_suffix(6);
    const size_t colon = line.find(':');
    const std::string_view account = line.substr(0, colon);
    const std::string_view key =
        colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    const Status status = keys.Add(std::string(account), key, admin);
    // The line itself stays out of the message: it is a secret.
    if (!status.ok())
      return Status(ErrorCode::kUsage, status.error().message,
                    where + " line " + std::to_string(number),
                    "NAME:KEY or NAME:KEY:admin; lull key new NAME makes one");
  }
  return keys;
}

Status ApiKeys::Add(const std::string& account, std::string_view key, bool admin) {
  if (!IsAccountName(account))
    return Status(ErrorCode::kUsage,
                  "a key's name is 1 to 64 letters, digits, dots, dashes or underscores", "name");
  ApiKey entry{account, {}, admin};
  if (!ReadHexDigest(key, &entry.digest)) {
    if (!IsKey(key))
      return Status(ErrorCode::kUsage, "a key is 16 to 512 visible characters", "key");
    entry.digest = DigestOf(key);
    plain_ = true;
  }
  if (keys_.size() >= kMaxKeys) return Status(ErrorCode::kUsage, "more than 4096 keys", "keys");
  keys_.push_back(std::move(entry));
  return Status();
}

const ApiKey* ApiKeys::Find(std::string_view presented) const {
  const Sha256Digest digest = DigestOf(presented);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_)
    if (EqualDigests(key.digest, digest)) found = &key;
  return found;
}

bool ApiKeys::has_admin() const {
  return std::any_of(keys_.begin(), keys_.end(), [](const ApiKey& key) { return key.admin; });
}

std::string ApiKeys::Line(const std::string& account, std::string_view key, bool admin) {
  Sha256 sha;
  sha.Update(key.data(), key.size());
  return account + ":" + sha.Hex() + (admin ? ":admin" : "");
}

}  // namespace lull
