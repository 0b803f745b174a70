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

// "models/x.gguf" -> "models/x.gguf.pack".
std::string PackPathOf(const std::string& model_path);

// Immutable after Open, so thread-safe. The file must not be changed in place while it is open;
// WritePack replaces it by a rename.
class PackFile {
 public:
  // Checks the header and the size, not the weights. kNotFound: no such file; kInvalidInput:
  // damaged, or made from something else (the message says what differs).
  static Result<std::unique_ptr<PackFile>> Open(const std::string& path,
                                                const PackIdentity& identity);

  std::span<const uint8_t> weights() const;  // starts on a page
  // Reads everything and compares checksums.
  Status VerifyWeights(const ExecContext& ctx, const PackProgress& progress) const;

 private:
  PackFile() = default;
  std::unique_ptr<os::MappedFile> file_;
  Sha256Digest weights_digest_{};
};

// Writes the file beside its place and renames it: other processes see the old or the new one.
Status WritePack(const ExecContext& ctx, const std::string& path, const PackIdentity& identity,
                 std::span<const uint8_t> weights, const PackProgress& progress);

}  // namespace lull
