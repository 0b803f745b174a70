#include "base/signing.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/os/file_lock.h"
#include "base/os/private_file.h"
#include "base/sha256.h"

namespace lull {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;

struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct ContextFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;
using Context = std::unique_ptr<EVP_MD_CTX, ContextFree>;

std::string Hex(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < size; ++i) {
    hex += kDigits[bytes[i] >> 4];
    hex += kDigits[bytes[i] & 15];
  }
  return hex;
}

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Empty where the text is not exactly so many bytes of hex.
std::vector<uint8_t> Bytes(const std::string& hex, size_t size) {
  if (hex.size() != 2 * size) return {};
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = Digit(hex[i]), low = Digit(hex[i + 1]);
    if (high < 0 || low < 0) return {};
    bytes.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return bytes;
}

const uint8_t* Data(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

Status Refused(const char* what) {
  return Status(ErrorCode::kInternal, std::string("OpenSSL cannot ") + what, "Ed25519");
}

// Of several processes at once one makes it and all read that one.
Result<std::string> ReadOrMakeSeed(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::FileLock> lock,
                        os::FileLock::Acquire(path + ".lock"));
  const Result<os::PrivateText> old = os::ReadPrivateFile(path);
  if (old.ok()) return old->text;
  if (old.error().code != ErrorCode::kNotFound) return old.error();
  std::array<uint8_t, kKeyBytes> seed{};
  if (RAND_bytes(seed.data(), static_cast<int>(seed.size())) != 1) return Refused("draw a key");
  const std::string fresh = Hex(seed.data(), seed.size());
  LULL_RETURN_IF_ERROR(os::AppendPrivateLine(path, fresh));
  return fresh;
}

}  // namespace

Result<SigningKey> SigningKey::FromSeed(const std::string& seed_hex) {
  const std::vector<uint8_t> seed = Bytes(seed_hex, kKeyBytes);
  if (seed.empty())
    return Status(ErrorCode::kInvalidInput, "not a key: 64 hex digits are needed", "signing key");
  Key raw(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  std::array<uint8_t, kKeyBytes> open{};
  size_t size = open.size();
  if (raw == nullptr || EVP_PKEY_get_raw_public_key(raw.get(), open.data(), &size) != 1)
    return Refused("make the key");
  SigningKey key;
  key.public_key_ = Hex(open.data(), size);
  key.key_ = std::shared_ptr<void>(raw.release(),
                                   [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); });
  return key;
}

Result<SigningKey> SigningKey::LoadOrCreate(const std::string& path) {
  LULL_ASSIGN_OR_RETURN(std::string text, ReadOrMakeSeed(path));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  Result<SigningKey> key = FromSeed(text);
  if (key.ok()) return key;
  Error error = key.error();
  error.where = path;
  error.hint = "move the file away; a new key is made on the next run";
  return error;
}

Result<std::string> SigningKey::Sign(const std::string& text) const {
  Context context(EVP_MD_CTX_new());
  std::array<uint8_t, kSignatureBytes> signature{};
  size_t size = signature.size();
  EVP_PKEY* const key = static_cast<EVP_PKEY*>(key_.get());
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, Data(text), text.size()) != 1)
    return Refused("sign").error();
  return Hex(signature.data(), size);
}

bool VerifySignature(const std::string& public_key, const std::string& text,
                     const std::string& signature) {
  const std::vector<uint8_t> key_bytes = Bytes(public_key, kKeyBytes);
  const std::vector<uint8_t> signature_bytes = Bytes(signature, kSignatureBytes);
  if (key_bytes.empty() || signature_bytes.empty()) return false;
  Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key_bytes.data(), key_bytes.size()));
  Context context(EVP_MD_CTX_new());
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature_bytes.data(), signature_bytes.size(), Data(text),
                          text.size()) == 1;
}

std::string Sha256Hex(const std::string& text) {
  Sha256 sha;
  sha.Update(text.data(), text.size());
  return sha.Hex();
}

}  // namespace lull
