#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <vector>

namespace lull {

Result<std::string> RandomToken(size_t bytes) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::vector<uint8_t> random(bytes);
  if (RAND_bytes(random.data(), static_cast<int>(bytes)) != 1)
    return Status(ErrorCode::kIo, "the system gives no random bytes", "random");
  std::string token;
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : random) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 6; count -= 6) token += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) token += kDigits[bits << (6 - count) & 63];
  OPENSSL_cleanse(random.data(), random.size());
  return token;
}

bool EqualDigests(const Sha256Digest& a, const Sha256Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace lull
