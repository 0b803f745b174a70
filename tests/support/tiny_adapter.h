// Low-rank adapters of random numbers for a model file, and the same change made to the model's own
// weights: two ways to one answer.
#pragma once

#include <cstdint>
#include <string>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "lull/status.h"

namespace lull {

struct TinyAdapterSpec {
  uint64_t rank = 4;
  float alpha = 8.0f;
  float gain = 1.0f;    // of what it changes, about as much as the weights themselves
  bool zero_b = false;  // changes nothing
  uint64_t seed = 1;
  std::string type = "F32";  // of the factors: F32, F16 or BF16
};

// For every matrix of a layer but experts, and for the head where the file has one of its own.
void BuildTinyAdapter(const GgufFile& base, const TinyAdapterSpec& spec, GgufWriter* writer);
Status WriteTinyAdapter(const std::string& base_path, const TinyAdapterSpec& spec,
                        const std::string& path);
// base's tensors, F32, with scale times what an F32 adapter adds: w + scale alpha / rank b a.
void BuildMergedModel(const GgufFile& base, const GgufFile& adapter, float scale,
                      GgufWriter* writer);

}  // namespace lull
