// What a model_type of config.json is in GGUF: a table of keys and of tensors. Adding an
// architecture is a row in hf_architecture.cc.
#pragma once

#include <span>
#include <string_view>

#include "convert/hf_folder.h"
#include "lull/status.h"

namespace lull {

struct HfKey {
  enum class Kind { kUint, kFloat };
  const char* config;
  const char* gguf;  // behind "<architecture>."
  Kind kind = Kind::kUint;
  bool required = true;
};

// {} stands for the layer in both names.
struct HfTensor {
  // Rotated rows of Q and K: each head's first and second half interleaved, as GGUF's "llama" and
  // its kin rotate neighbours.
  enum class Rows { kAsTheyAre, kInterleavedQ, kInterleavedK };
  const char* name;
  const char* gguf;
  Rows rows = Rows::kAsTheyAre;
};

// A key that changes the numbers where it is not this (JSON text). Missing is the same.
struct HfNeutral {
  const char* config;
  const char* value;
};

struct HfArchitecture {
  const char* model_type;
  const char* gguf;             // general.architecture
  std::span<const HfKey> keys;  // beside those of all
  std::span<const HfTensor> tensors;
  std::span<const HfNeutral> neutral;
};

// kUnsupported where the folder's model_type has no row, or its config says something that would
// change the model's numbers and that is not converted.
Result<const HfArchitecture*> FindHfArchitecture(const HfFolder& folder);

// Of all architectures.
std::span<const HfKey> HfCommonKeys();

}  // namespace lull
