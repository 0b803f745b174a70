#include "base/sha256.h"

#include <openssl/evp.h>

#include <fstream>
#include <vector>

namespace lull {

struct Sha256::Rep {
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  ~Rep() { EVP_MD_CTX_free(ctx); }
};

Sha256::Sha256() : rep_(std::make_unique<Rep>()) {
  EVP_DigestInit_ex(rep_->ctx, EVP_sha256(), nullptr);
}
Sha256::~Sha256() = default;

void Sha256::Update(const void* data, size_t size) { EVP_DigestUpdate(rep_->ctx, data, size); }

Sha256Digest Sha256::Digest() {
  Sha256Digest digest;
  EVP_DigestFinal_ex(rep_->ctx, digest.data(), nullptr);
  return digest;
}

std::string Sha256::Hex() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const uint8_t byte : Digest()) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Result<std::string> Sha256OfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(ErrorCode::kNotFound, "cannot open file", path);
  Sha256 sha;
  std::vector<char> buffer(1 << 20);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    sha.Update(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (file.bad()) return Status(ErrorCode::kIo, "cannot read file", path);
  return sha.Hex();
}

}  // namespace lull
