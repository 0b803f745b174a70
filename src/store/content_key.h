// What a file's bytes are known by before they are there, and afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace lull {

// Hubs name large files by SHA-256 and small ones by Git's blob id: SHA-1 over "blob SIZE\0" and
// the bytes. The text form, "sha256-<64 hex>" or "gitsha1-<40 hex>", is also the file's name in the
// store.
class ContentKey {
 public:
  // nullopt where hex is not so many lower-case hexadecimal digits.
  static std::optional<ContentKey> OfSha256(const std::string& hex);
  static std::optional<ContentKey> OfGitBlob(const std::string& hex);
  static std::optional<ContentKey> Parse(const std::string& text);

  ContentKey() = default;
  const std::string& text() const { return text_; }
  bool is_sha256() const { return text_.starts_with("sha256-"); }
  std::string hex() const { return text_.substr(text_.find('-') + 1); }
  bool operator==(const ContentKey&) const = default;
  auto operator<=>(const ContentKey&) const = default;

 private:
  explicit ContentKey(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Computes the key of bytes that come in pieces, of the kind of another key. Not thread-safe.
class ContentHasher {
 public:
  // bytes: the size of the whole, which a Git blob's id begins with.
  ContentHasher(const ContentKey& like, uint64_t bytes);
  ~ContentHasher();
  void Update(const void* data, size_t size);
  // Ends the computation.
  ContentKey Key();

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
