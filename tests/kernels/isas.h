// The kernel tables of this machine, and inputs for comparing them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace lull {

inline const Kernels& ScalarKernels() { return **FindKernels("scalar"); }

// Every instruction set this machine has, scalar first.
inline std::vector<const Kernels*> MachineKernels() {
  std::vector<const Kernels*> all;
  static const char* const kNames[] = {
#define LULL_ISA_ROW(ns, isa, name) name,
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
      "amx",
  };
  for (const char* name : kNames) {
    const Result<const Kernels*> found = FindKernels(name);
    if (found.ok()) all.push_back(*found);
  }
  return all;
}

inline std::vector<float> RandomFloats(size_t n, uint32_t seed, float magnitude = 1.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, magnitude);
  std::vector<float> values(n);
  for (float& v : values) v = normal(rng);
  return values;
}

template <typename T>
void ExpectSameBits(const std::vector<T>& want, const std::vector<T>& got, const char* isa) {
  ASSERT_EQ(want.size(), got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(0, memcmp(&want[i], &got[i], sizeof(T)))
        << isa << ": element " << i << ": " << +want[i] << " and " << +got[i];
  }
}

// Sizes around the vector width, and real ones.
inline const std::vector<size_t>& OddSizes() {
  static const std::vector<size_t> sizes = {1,  2,  3,  7,  8,  9,  15,  16,  17,  31,   32,  33,
                                            47, 48, 63, 64, 65, 96, 127, 576, 641, 1030, 2049};
  return sizes;
}

}  // namespace lull
