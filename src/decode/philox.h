// Counter-based randomness: Philox4x32-10 (Salmon et al., SC'11). The same (seed, counter) gives
// the same number whatever was drawn before, so a request's tokens do not depend on its neighbours.
#pragma once

#include <array>
#include <cstdint>

namespace lull {

inline std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                          std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// Uniform in [0, 1), 53 bits, for the token at an absolute position of a sequence.
inline double UniformAt(uint64_t seed, int64_t position) {
  const uint64_t p = static_cast<uint64_t>(position);
  const std::array<uint32_t, 4> r =
      Philox4x32({static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32), 0, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{r[0]} << 32) | r[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace lull
