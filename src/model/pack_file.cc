#include "model/pack_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/os/atomic_file.h"
#include "lull/version.h"

namespace lull {
namespace {

// The header: little-endian fields at the start of a page, zeros, and the SHA-256 of all that at
// its end.
constexpr char kMagic[8] = {'L', 'U', 'L', 'L', 'P', 'A', 'C', 'K'};
constexpr size_t kHeaderBytes = 4096;
constexpr size_t kHeaderDigestAt = kHeaderBytes - sizeof(Sha256Digest);
constexpr size_t kPieceBytes = size_t{32} << 10;  // hashed or written between two checkpoints

// "x.gguf.pack" -> how to make it anew.
std::string Anew(const std::string& pack_path) {
  return "make it anew: lull pack --force " + pack_path.substr(0, pack_path.rfind(".pack"));
}

using Page = std::array<uint8_t, kHeaderBytes>;

struct Header {
  uint32_t format_version = kPackFormatVersion;
  uint32_t arithmetic_version = kArithmeticVersion;
  PackIdentity identity;
  Sha256Digest weights_digest{};
};

// Moves each field of the header between its place in the page and the struct, by one list of them.
template <typename Move>
void MoveFields(Header& h, Move&& move) {
  size_t at = sizeof(kMagic);
  const auto next = [&](auto& field) {
    move(at, field);
    at += sizeof(field);
  };
  next(h.format_version);
  next(h.arithmetic_version);
  next(h.identity.source.file_bytes);
  next(h.identity.source.modified_ns);
  next(h.identity.source.headers);
  next(h.identity.layout);
  next(h.identity.weight_bytes);
  next(h.weights_digest);
}

Sha256Digest DigestOf(const uint8_t* data, size_t size) {
  Sha256 sha;
  sha.Update(data, size);
  return sha.Digest();
}

Page ToPage(Header header) {
  Page page{};
  memcpy(page.data(), kMagic, sizeof(kMagic));
  MoveFields(header, [&](size_t at, const auto& field) {
    memcpy(page.data() + at, &field, sizeof(field));
  });
  const Sha256Digest digest = DigestOf(page.data(), kHeaderDigestAt);
  memcpy(page.data() + kHeaderDigestAt, digest.data(), digest.size());
  return page;
}

Status Damaged(const std::string& what, const std::string& path) {
  return Status(ErrorCode::kInvalidInput, "the pack file is damaged: " + what, path, Anew(path));
}

Status Stale(const std::string& what, const std::string& path) {
  return Status(ErrorCode::kInvalidInput, "the pack file is stale: " + what, path, Anew(path));
}

Result<Header> ParseHeader(std::span<const uint8_t> bytes, const std::string& path) {
  if (bytes.size() < kHeaderBytes)
    return Damaged("it has " + std::to_string(bytes.size()) + " bytes, its header needs " +
                       std::to_string(kHeaderBytes),
                   path);
  if (memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0)
    return Damaged("it does not begin with LULLPACK", path);
  Header header;
  MoveFields(header,
             [&](size_t at, auto& field) { memcpy(&field, bytes.data() + at, sizeof(field)); });
  if (header.format_version != kPackFormatVersion)
    return Stale("it has format version " + std::to_string(header.format_version) +
                     ", this program reads " + std::to_string(kPackFormatVersion),
                 path);
  const Sha256Digest digest = DigestOf(bytes.data(), kHeaderDigestAt);
  if (memcmp(bytes.data() + kHeaderDigestAt, digest.data(), digest.size()) != 0)
    return Damaged("the header's checksum is wrong", path);
  if (header.identity.weight_bytes != bytes.size() - kHeaderBytes)
    return Damaged("it has " + std::to_string(bytes.size() - kHeaderBytes) +
                       " bytes of weights, its header says " +
                       std::to_string(header.identity.weight_bytes),
                   path);
  return header;
}

Status CheckSource(const Header& header, const PackIdentity& want, const std::string& path) {
  const PackIdentity& have = header.identity;
  if (header.arithmetic_version != kArithmeticVersion)
    return Stale("it has arithmetic version " + std::to_string(header.arithmetic_version) +
                     ", this program computes by " + std::to_string(kArithmeticVersion),
                 path);
  if (have.source.file_bytes != want.source.file_bytes)
    return Stale("it was made from a model file of " + std::to_string(have.source.file_bytes) +
                     " bytes, which has " + std::to_string(want.source.file_bytes) + " now",
                 path);
  if (have.source.modified_ns != want.source.modified_ns)
    return Stale("the model file was written again since", path);
  if (have.source.headers != want.source.headers)
    return Stale("the model file's header has changed since", path);
  if (have.layout != want.layout || have.weight_bytes != want.weight_bytes)
    return Stale("this program lays out the model's weights in another way", path);
  return Status::Ok();
}

// Hands the weights on piece by piece.
template <typename Use>
Status ForEachPiece(const ExecContext& ctx, std::span<const uint8_t> bytes, Use&& use) {
  for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    LULL_RETURN_IF_ERROR(use(at, bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at))));
    ctx.Checkpoint();
    if (ctx.Cancelled()) return Status(ErrorCode::kCancelled, "packing was cancelled");
  }
  return Status::Ok();
}

Result<Sha256Digest> DigestOfWeights(const ExecContext& ctx, std::span<const uint8_t> weights,
                                     const PackProgress& progress) {
  Sha256 sha;
  LULL_RETURN_IF_ERROR(ForEachPiece(ctx, weights, [&](size_t at, std::span<const uint8_t> piece) {
    sha.Update(piece.data(), piece.size());
    if (progress) progress(at + piece.size(), weights.size());
    return Status::Ok();
  }));
  return sha.Digest();
}

}  // namespace

std::string PackPathOf(const std::string& model_path) { return model_path + ".pack"; }

Result<std::unique_ptr<PackFile>> PackFile::Open(const std::string& path,
                                                 uint32_t model_owner_uid) {
  std::unique_ptr<PackFile> pack(new PackFile());
  LULL_ASSIGN_OR_RETURN(pack->file_, os::MappedFile::Open(path));
  const uint32_t owner = pack->file_->owner_uid();
  if (owner != 0 && owner != os::UserId() && owner != model_owner_uid)
    return Status(ErrorCode::kInvalidInput,
                  "the pack file belongs to another user (" + std::to_string(owner) +
                      ") than the model and this process",
                  path, "remove it; " + Anew(path));
  return pack;
}

Status PackFile::Check(const PackIdentity& identity) {
  LULL_ASSIGN_OR_RETURN(const Header header, ParseHeader(file_->bytes(), file_->path()));
  weights_digest_ = header.weights_digest;
  return CheckSource(header, identity, file_->path());
}

std::span<const uint8_t> PackFile::weights() const { return file_->bytes().subspan(kHeaderBytes); }

Status PackFile::VerifyWeights(const ExecContext& ctx, const PackProgress& progress) const {
  LULL_ASSIGN_OR_RETURN(const Sha256Digest digest, DigestOfWeights(ctx, weights(), progress));
  if (digest != weights_digest_)
    return Damaged("the checksum of its weights is wrong", file_->path());
  return Status::Ok();
}

Status WritePack(const ExecContext& ctx, const std::string& path, const PackIdentity& identity,
                 std::span<const uint8_t> weights, const PackProgress& progress) {
  os::AtomicFile::RemoveAbandoned(path);
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::AtomicFile> file, os::AtomicFile::Create(path));
  LULL_RETURN_IF_ERROR(file->Reserve(kHeaderBytes + weights.size()));
  Header header;
  header.identity = identity;
  LULL_ASSIGN_OR_RETURN(header.weights_digest, DigestOfWeights(ctx, weights, nullptr));
  LULL_RETURN_IF_ERROR(file->Write(ToPage(header)));
  LULL_RETURN_IF_ERROR(ForEachPiece(ctx, weights, [&](size_t at, std::span<const uint8_t> piece) {
    if (progress) progress(at + piece.size(), weights.size());
    return file->Write(piece);
  }));
  return file->Commit();
}

}  // namespace lull
