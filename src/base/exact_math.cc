#include "base/exact_math.h"

#include <bit>
#include <cstdint>

namespace lull::exact {
namespace {

// ln 2 and pi / 2 in pieces: the leading ones have trailing zero bits, so that a product with a
// small integer is exact.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kInvLn2 = 0x1.71547652b82fep+0;
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;
constexpr double kInvHalfPi = 0x1.45f306dc9c883p-1;

int64_t RoundToInt(double x) { return static_cast<int64_t>(x < 0 ? x - 0.5 : x + 0.5); }

// Taylor coefficients 1/n!, enough for |r| <= 0.79 at double precision.
constexpr int kTerms = 20;
struct Factorials {
  double inverse[kTerms];
  constexpr Factorials() : inverse{} {
    double f = 1.0;
    for (int n = 0; n < kTerms; ++n) {
      if (n > 0) f *= n;
      inverse[n] = 1.0 / f;
    }
  }
};
constexpr Factorials kFactorials;

}  // namespace

double Exp(double x) {
  if (x != x) return x;
  if (x > 700.0) x = 700.0;
  if (x < -700.0) x = -700.0;
  const int64_t k = RoundToInt(x * kInvLn2);
  const double r = (x - static_cast<double>(k) * kLn2High) - static_cast<double>(k) * kLn2Low;
  double sum = 0.0;
  for (int n = 14; n >= 0; --n) sum = sum * r + kFactorials.inverse[n];
  return sum * std::bit_cast<double>(static_cast<uint64_t>(1023 + k) << 52);
}

double Log(double x) {
  if (!(x >= 0x1p-1022) || x > 0x1.fffffffffffffp+1023) return 0.0;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++exponent;
  }
  // log(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 0.0;
  for (int n = 23; n >= 1; n -= 2) sum = sum * s2 + 1.0 / n;
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2.0 * s * sum + e * kLn2Low);
}

double Pow(double base, double power) { return Exp(power * Log(base)); }

void SinCos(double x, double* sin, double* cos) {
  if (!(x > -0x1p40 && x < 0x1p40)) x = 0.0;
  const int64_t quadrant = RoundToInt(x * kInvHalfPi);
  const double n = static_cast<double>(quadrant);
  const double r = ((x - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;
  const double r2 = r * r;
  double s = 0.0;
  double c = 0.0;
  for (int i = 9; i >= 0; --i) {
    const double sign = (i & 1) ? -1.0 : 1.0;
    if (i <= 8) s = s * r2 + sign * kFactorials.inverse[2 * i + 1];
    c = c * r2 + sign * kFactorials.inverse[2 * i];
  }
  s *= r;
  switch (quadrant & 3) {
    case 0:
      *sin = s;
      *cos = c;
      break;
    case 1:
      *sin = c;
      *cos = -s;
      break;
    case 2:
      *sin = -s;
      *cos = -c;
      break;
    default:
      *sin = -c;
      *cos = s;
      break;
  }
}

}  // namespace lull::exact
