// A model's weights in the packed layout, as a file beside the model's: later starts map it instead
// of repacking, and several processes share its pages.
// Format: docs/formats/pack.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/exec_context.h"
#include "base/os/os.h"
#include "base/sha256.h"
#include "formats/gguf.h"
#include "lull/model.h"
#include "lull/status.h"

namespace lull {

// What a pack was made from. It is used only where all of it agrees, and kArithmeticVersion too.
struct PackIdentity {
  GgufIdentity source;
  Sha256Digest layout{};  // WeightPlan::Digest
  uint64_t weight_bytes = 0;
};

// How the packed bytes of a matrix and the file around them lie: raised when either changes, so
// that no older pack is used.
inline constexpr uint32_t kPackFormatVersion = 1;

// "models/x.gguf" -> "models/x.gguf.pack".
std::string PackPathOf(const std::string& model_path);

// Immutable after Open, so thread-safe. The file must not be changed in place while it is open;
// WritePack replaces it by a rename.
class PackFile {
 public:
  // Only maps the file. kNotFound: no such file. kInvalidInput: neither the process's user's, nor
  // root's, nor of the user whose the model is: its bytes could be anybody's.
  static Result<std::unique_ptr<PackFile>> Open(const std::string& path, uint32_t model_owner_uid);
  // Compares header and size, not the weights. kInvalidInput: damaged, or made from something else
  // (the message says what differs).
  Status Check(const PackIdentity& identity);

  // Starts on a page. Requires: Check was ok.
  std::span<const uint8_t> weights() const;
  // Reads everything and compares checksums.
  Status VerifyWeights(const ExecContext& ctx, const PackProgress& progress) const;

 private:
  PackFile() = default;
  std::unique_ptr<os::MappedFile> file_;
  Sha256Digest weights_digest_{};
};

// Writes the file beside its place and renames it: other processes see the old or the new one.
// Removes what earlier attempts that were killed left behind.
Status WritePack(const ExecContext& ctx, const std::string& path, const PackIdentity& identity,
                 std::span<const uint8_t> weights, const PackProgress& progress);

}  // namespace lull
