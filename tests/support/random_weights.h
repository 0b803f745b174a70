// Rows of random weights in any file type, from a seed. Each row depends on (seed, row) alone.
#pragma once

#include <cstdint>
#include <string>

#include "formats/gguf_writer.h"

namespace lull {

// Small, fast and the same everywhere (splitmix64).
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  float Uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(Next() >> 40) * 0x1p-24f);
  }

 private:
  uint64_t state_;
};

uint64_t HashText(const std::string& text, uint64_t seed);

// Rows of `elements` values around 0 with about this standard deviation. Quantized types get random
// codes under finite f16 scales, so every code and sub-scale appears. Requires: type is one of
// F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K, elements a multiple of its block.
GgufWriter::RowSource RandomRows(uint32_t type_id, uint64_t elements, float deviation, uint64_t seed);
// F32 rows, uniform in [low, high).
GgufWriter::RowSource RandomF32Rows(uint64_t elements, float low, float high, uint64_t seed);

}  // namespace lull
