// exp for sampling and log-probabilities: plain double arithmetic in a fixed order, so that the
// bits do not depend on the C library or the processor (libm picks variants at run time). Beside
// base/exact_math.h because a row of logits takes it 262,144 times: inline and for x <= 0 alone it
// vectorises.
#pragma once

#include <bit>
#include <cstdint>

namespace lull {

// exp(x) for x <= 0, relative error below 1e-12; below -700 the result stays at exp(-700).
// Branch-free, so loops over it vectorise.
inline double ExpOfNonPositive(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 0x1.62e42feep-1;  // 33 bits: n * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kShift = 0x1.8p52;  // adding it rounds to an integer, kept in the low bits
  x = x > -700.0 ? x : -700.0;
  const double shifted = x * kLog2E + kShift;
  const double n = shifted - kShift;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double p = 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return std::bit_cast<double>(std::bit_cast<uint64_t>(p) +
                               (std::bit_cast<uint64_t>(shifted) << 52));
}

}  // namespace lull
