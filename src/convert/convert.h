// A model folder of safetensors as one GGUF file of the same numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct ConvertOptions {
  // Of matrices: "F32", "F16", "BF16"; "": as the folder has them. Vectors become F32, always.
  std::string type;
  std::string name;  // general.name; "": the folder's
  // Bytes of the file written so far, and of all; false gives up, which leaves no file.
  std::function<bool(uint64_t done, uint64_t total)> progress;
  bool durable = true;  // false: do not wait for the disk
};

struct ConvertSummary {
  std::string architecture;  // "llama"
  uint64_t tensors = 0;
};

// Reads folder/config.json and what lies beside it, and writes the file at path when all of it is
// known to fit; the weights pass through a MiB at a time. Every tensor is either converted or
// refused by name. kInvalidModel where a value is too large for the type asked for.
Result<ConvertSummary> ConvertHfFolder(const std::string& folder, const std::string& path,
                                       const ConvertOptions& options);

// A model_type of config.json that is converted, and the architecture it becomes.
struct ConvertibleType {
  std::string model_type;
  std::string architecture;
};
std::vector<ConvertibleType> ConvertibleTypes();

}  // namespace lull
