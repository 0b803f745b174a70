#include "store/content_key.h"

#include <openssl/evp.h>

namespace lull {
namespace {

constexpr char kSha256[] = "sha256-";
constexpr char kGitBlob[] = "gitsha1-";
constexpr size_t kSha256Digits = 64, kGitDigits = 40;

bool IsHex(const std::string& text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

std::optional<ContentKey> ContentKey::OfSha256(const std::string& hex) {
  if (!IsHex(hex, kSha256Digits)) return std::nullopt;
  return ContentKey(kSha256 + hex);
}

std::optional<ContentKey> ContentKey::OfGitBlob(const std::string& hex) {
  if (!IsHex(hex, kGitDigits)) return std::nullopt;
  return ContentKey(kGitBlob + hex);
}

std::optional<ContentKey> ContentKey::Parse(const std::string& text) {
  if (text.starts_with(kSha256)) return OfSha256(text.substr(sizeof kSha256 - 1));
  if (text.starts_with(kGitBlob)) return OfGitBlob(text.substr(sizeof kGitBlob - 1));
  return std::nullopt;
}

struct ContentHasher::Rep {
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  bool sha256 = true;
  ~Rep() { EVP_MD_CTX_free(ctx); }
};

ContentHasher::ContentHasher(const ContentKey& like, uint64_t bytes)
    : rep_(std::make_unique<Rep>()) {
  rep_->sha256 = like.is_sha256();
  EVP_DigestInit_ex(rep_->ctx, rep_->sha256 ? EVP_sha256() : EVP_sha1(), nullptr);
  if (rep_->sha256) return;
  const std::string head = "blob " + std::to_string(bytes);
  Update(head.c_str(), head.size() + 1);  // its zero byte too
}

ContentHasher::~ContentHasher() = default;

void ContentHasher::Update(const void* data, size_t size) {
  EVP_DigestUpdate(rep_->ctx, data, size);
}

ContentKey ContentHasher::Key() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(rep_->ctx, digest, &size);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  const std::optional<ContentKey> key =
      rep_->sha256 ? ContentKey::OfSha256(hex) : ContentKey::OfGitBlob(hex);
  return key.value_or(ContentKey());
}

}  // namespace lull
