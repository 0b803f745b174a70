// One safetensors file, memory-mapped: names, types, shapes and bytes of its tensors.
// Format: https://huggingface.co/docs/safetensors (8 bytes of length, a JSON header, the data).
// Everything the header claims is checked against the file; errors name tensor or byte. Immutable
// after Open, so thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lull/status.h"

namespace lull {

namespace os {
class MappedFile;
}

struct SafetensorsTensor {
  std::string name;
  std::string dtype;              // "F32", "F16", "BF16", "I64", ...: one that has a width
  std::vector<uint64_t> shape;    // slowest first, as in the file; empty: one value
  std::span<const uint8_t> data;  // exactly the bytes that shape and dtype need
};

inline constexpr uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;
inline constexpr size_t kSafetensorsMaxTensors = size_t{1} << 20;
inline constexpr size_t kSafetensorsMaxDims = 8;

// The tensors of a whole file's bytes, by where their data lies; the data is a view into them.
// where: names the file in errors.
Result<std::vector<SafetensorsTensor>> ParseSafetensors(std::span<const uint8_t> file,
                                                        const std::string& where);

class SafetensorsFile {
 public:
  static Result<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();

  const std::string& path() const;
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }

 private:
  SafetensorsFile();
  std::unique_ptr<os::MappedFile> file_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace lull
