// Ed25519 signatures (RFC 8032) by OpenSSL. Keys and signatures are lower-case hex: 64 digits of a
// public key, 128 of a signature.
#pragma once

#include <memory>
#include <string>

#include "lull/status.h"

namespace lull {

// Thread-safe once made.
class SigningKey {
 public:
  // Reads the key from the file, or makes one on first use: 32 random bytes in hex, readable by the
  // owner alone. kInvalidInput where the file is not a key.
  static Result<SigningKey> LoadOrCreate(const std::string& path);
  static Result<SigningKey> FromSeed(const std::string& seed_hex);

  const std::string& public_key() const { return public_key_; }
  Result<std::string> Sign(const std::string& text) const;

 private:
  std::shared_ptr<void> key_;
  std::string public_key_;
};

// False too where key or signature are not hex of the right length.
bool VerifySignature(const std::string& public_key, const std::string& text,
                     const std::string& signature);

// Of a text, in hex.
std::string Sha256Hex(const std::string& text);

}  // namespace lull
