// Every primitive gives the bits of the scalar reference on every instruction set of this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#define LULL_ISA_FILE "tests/simd/primitives-inl.h"
#include "simd/foreach_isa.h"

namespace lull {
namespace {

using RunFn = size_t (*)(const float*, const float*, const uint8_t*, uint8_t*);

void CompareWithScalar(RunFn run) {
  std::mt19937 rng(7);
  std::vector<uint8_t> want(16384), got(16384);
  for (int round = 0; round < 2000; ++round) {
    float x[32], y[16];
    uint8_t bytes[128];
    for (float& f : x)
      f = std::ldexp(static_cast<float>(int(rng() % 2000001) - 1000000), int(rng() % 40) - 30);
    for (float& f : y)
      f = std::ldexp(static_cast<float>(int(rng() % 2000001) - 1000000), int(rng() % 40) - 30);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng());
    if (round % 10 == 0) x[round % 16] = 0.0f, x[(round + 5) % 16] = -0.0f;
    // Subnormal half results and values that round to infinity in f16.
    if (round % 7 == 0) x[3] = 1.1e-7f, x[9] = 65520.0f, x[12] = -5.9e-8f;
    const size_t n = scalar::RunPrimitives(x, y, bytes, want.data());
    ASSERT_EQ(n, run(x, y, bytes, got.data()));
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(want[i], got[i]) << "round " << round << " byte " << i;
  }
}

TEST(Primitives, Avx2) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "no AVX2";
  CompareWithScalar(avx2::RunPrimitives);
}
TEST(Primitives, Avx2Vnni) {
  if (!__builtin_cpu_supports("avxvnni")) GTEST_SKIP() << "no AVX-VNNI";
  CompareWithScalar(avx2vnni::RunPrimitives);
}
TEST(Primitives, Avx512) {
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vbmi"))
    GTEST_SKIP() << "no AVX-512 VNNI";
  CompareWithScalar(avx512::RunPrimitives);
}

}  // namespace
}  // namespace lull
