// libFuzzer target: any bytes as a pack file, as they are and under a right header checksum (or
// nothing behind it would be reached). Built by the preset "fuzz".
//   build/fuzz/pack_fuzz -max_len=8192 -rss_limit_mb=512 CORPUS_FOLDER
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "model/pack_file.h"

namespace {

constexpr size_t kHeaderBytes = 4096;  // docs/formats/pack.md

// The identity that the fields of the file ask for, so that the weights are reached as well.
lull::PackIdentity IdentityIn(const std::vector<uint8_t>& bytes) {
  lull::PackIdentity identity;
  size_t at = 16;  // behind magic and versions
  const auto take = [&](auto& field) {
    memcpy(&field, bytes.data() + at, sizeof(field));
    at += sizeof(field);
  };
  take(identity.source.file_bytes);
  take(identity.source.modified_ns);
  take(identity.source.headers);
  take(identity.layout);
  take(identity.weight_bytes);
  return identity;
}

void Read(const std::string& path, const std::vector<uint8_t>& bytes) {
  auto pack = lull::PackFile::Open(path, 0);
  if (!pack.ok()) return;
  (void)(*pack)->Check(lull::PackIdentity());
  if (bytes.size() < kHeaderBytes || !(*pack)->Check(IdentityIn(bytes)).ok()) return;
  (void)(*pack)->VerifyWeights(lull::ExecContext(), nullptr);
}

}  // namespace

// The reader takes a path, so the input is an anonymous file in memory.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("pack_fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const auto read = [&](const std::vector<uint8_t>& bytes) {
    if (fd < 0 || ftruncate(fd, 0) != 0) return;
    if (pwrite(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return;
    Read(path, bytes);
  };
  std::vector<uint8_t> bytes(data, data + size);
  read(bytes);
  if (size < kHeaderBytes) return 0;
  constexpr size_t kDigestAt = kHeaderBytes - sizeof(lull::Sha256Digest);
  lull::Sha256 sha;
  sha.Update(bytes.data(), kDigestAt);
  const lull::Sha256Digest digest = sha.Digest();
  memcpy(bytes.data() + kDigestAt, digest.data(), digest.size());
  read(bytes);
  return 0;
}
