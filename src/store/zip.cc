#include "store/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/os/os.h"

namespace lull {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22, kCentralBytes = 46, kLocalBytes = 30;
constexpr size_t kMaxCommentBytes = 65535;

uint32_t Read(std::span<const uint8_t> bytes, size_t offset, int width) {
  uint32_t value = 0;
  for (int i = 0; i < width; ++i) value |= uint32_t{bytes[offset + i]} << (8 * i);
  return value;
}

struct Member {
  uint32_t method = 0;  // 0 stored, 8 deflated
  uint32_t crc = 0;
  uint64_t packed_bytes = 0;
  uint64_t bytes = 0;
  uint64_t data_offset = 0;
};

Error Damaged(const std::string& path, const std::string& what) {
  return Status(ErrorCode::kInvalidInput, "damaged zip archive: " + what, path,
                "remove the file and fetch it again")
      .error();
}

Result<size_t> FindEnd(std::span<const uint8_t> zip, const std::string& path) {
  if (zip.size() < kEndBytes) return Damaged(path, "too short");
  const size_t highest = zip.size() - kEndBytes;
  const size_t lowest = highest > kMaxCommentBytes ? highest - kMaxCommentBytes : 0;
  for (size_t at = highest + 1; at-- > lowest;)
    if (Read(zip, at, 4) == kEndSignature) return at;
  return Damaged(path, "no end record");
}

Result<Member> ReadMember(std::span<const uint8_t> zip, const std::string& path, size_t entry,
                          const std::string& name) {
  Member member;
  member.method = Read(zip, entry + 10, 2);
  member.crc = Read(zip, entry + 16, 4);
  member.packed_bytes = Read(zip, entry + 20, 4);
  member.bytes = Read(zip, entry + 24, 4);
  const size_t local = Read(zip, entry + 42, 4);
  if (local > zip.size() || zip.size() - local < kLocalBytes ||
      Read(zip, local, 4) != kLocalSignature)
    return Damaged(path, "local header of " + name);
  member.data_offset = local + kLocalBytes + Read(zip, local + 26, 2) + Read(zip, local + 28, 2);
  if (member.data_offset > zip.size() || zip.size() - member.data_offset < member.packed_bytes)
    return Damaged(path, "data of " + name);
  if (member.method != 0 && member.method != 8)
    return Damaged(path, "unknown compression of " + name);
  return member;
}

Result<Member> FindMember(std::span<const uint8_t> zip, const std::string& path,
                          const std::string& name) {
  LULL_ASSIGN_OR_RETURN(const size_t end, FindEnd(zip, path));
  const uint32_t count = Read(zip, end + 10, 2);
  size_t at = Read(zip, end + 16, 4);
  for (uint32_t i = 0; i < count; ++i) {
    if (at > zip.size() || zip.size() - at < kCentralBytes || Read(zip, at, 4) != kCentralSignature)
      return Damaged(path, "directory entry " + std::to_string(i));
    const size_t name_bytes = Read(zip, at + 28, 2);
    const size_t entry_bytes =
        kCentralBytes + name_bytes + Read(zip, at + 30, 2) + Read(zip, at + 32, 2);
    if (zip.size() - at < entry_bytes) return Damaged(path, "directory entry " + std::to_string(i));
    if (name_bytes == name.size() && memcmp(&zip[at + kCentralBytes], name.data(), name_bytes) == 0)
      return ReadMember(zip, path, at, name);
    at += entry_bytes;
  }
  return Status(ErrorCode::kNotFound, "no member " + name + " in the archive", path);
}

// Pulls pieces of a member's plain bytes.
class MemberReader {
 public:
  MemberReader(std::span<const uint8_t> packed, uint32_t method)
      : packed_(packed), deflated_(method == 8), buffer_(1 << 20) {
    if (deflated_) inflateInit2(&stream_, -MAX_WBITS);
  }
  ~MemberReader() {
    if (deflated_) inflateEnd(&stream_);
  }
  bool ended() const { return ended_; }
  // The next piece; false where the stream is damaged.
  bool Next(std::span<const uint8_t>* piece) { return deflated_ ? Inflate(piece) : Copy(piece); }

 private:
  bool Copy(std::span<const uint8_t>* piece) {
    *piece = packed_.first(std::min(buffer_.size(), packed_.size()));
    packed_ = packed_.subspan(piece->size());
    ended_ = packed_.empty();
    return true;
  }
  bool Inflate(std::span<const uint8_t>* piece) {
    const size_t offered = std::min<size_t>(packed_.size(), 1 << 24);
    stream_.next_in = const_cast<uint8_t*>(packed_.data());
    stream_.avail_in = static_cast<uInt>(offered);
    stream_.next_out = buffer_.data();
    stream_.avail_out = static_cast<uInt>(buffer_.size());
    const int rc = inflate(&stream_, Z_NO_FLUSH);
    packed_ = packed_.subspan(offered - stream_.avail_in);
    *piece = {buffer_.data(), buffer_.size() - stream_.avail_out};
    ended_ = rc == Z_STREAM_END;
    const bool stuck = !ended_ && piece->empty() && packed_.empty();
    return (rc == Z_OK || ended_) && !stuck;
  }

  std::span<const uint8_t> packed_;
  bool deflated_;
  bool ended_ = false;
  z_stream stream_{};
  std::vector<uint8_t> buffer_;
};

}  // namespace

Status ExtractZipMember(const std::string& archive_path, const std::string& member_name,
                        const std::function<Status(const uint8_t* data, size_t size)>& sink) {
  LULL_ASSIGN_OR_RETURN(const auto file, os::MappedFile::Open(archive_path));
  const std::span<const uint8_t> zip = file->bytes();
  LULL_ASSIGN_OR_RETURN(const Member member, FindMember(zip, archive_path, member_name));
  MemberReader reader(zip.subspan(member.data_offset, member.packed_bytes), member.method);
  uint64_t produced = 0;
  uLong crc = crc32(0, nullptr, 0);
  while (!reader.ended()) {
    std::span<const uint8_t> piece;
    if (!reader.Next(&piece)) return Damaged(archive_path, "compressed data of " + member_name);
    produced += piece.size();
    if (produced > member.bytes) return Damaged(archive_path, "more data than declared");
    crc = crc32(crc, piece.data(), static_cast<uInt>(piece.size()));
    if (!piece.empty()) LULL_RETURN_IF_ERROR(sink(piece.data(), piece.size()));
  }
  if (produced != member.bytes || crc != member.crc)
    return Damaged(archive_path, "checksum of " + member_name);
  return Status();
}

}  // namespace lull
