#include "base/exact_math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lull {
namespace {

double RelativeError(double got, double want) {
  return std::fabs(got - want) / std::max(1e-300, std::fabs(want));
}

TEST(ExactMathTest, ExpLogPowMatchTheLibraryClosely) {
  for (double x = -690.0; x < 690.0; x += 0.37)
    EXPECT_LT(RelativeError(exact::Exp(x), std::exp(x)), 1e-14) << x;
  for (double x = 1e-9; x < 1e12; x *= 1.37)
    EXPECT_LT(std::fabs(exact::Log(x) - std::log(x)), 1e-14 * std::max(1.0, std::fabs(std::log(x))))
        << x;
  for (double base : {10000.0, 100000.0, 1e6, 5e5})
    for (double p = -1.0; p <= 0.0; p += 1.0 / 64)
      EXPECT_LT(RelativeError(exact::Pow(base, p), std::pow(base, p)), 1e-14);
}

TEST(ExactMathTest, SinCosMatchTheLibraryClosely) {
  for (double x = -70000.0; x < 70000.0; x += 1.234567) {
    double sin = 0, cos = 0;
    exact::SinCos(x, &sin, &cos);
    EXPECT_NEAR(sin, std::sin(x), 1e-14) << x;
    EXPECT_NEAR(cos, std::cos(x), 1e-14) << x;
  }
}

TEST(ExactMathTest, KnownBits) {
  // Any change of these is a change of arithmetic.
  double sin = 0, cos = 0;
  exact::SinCos(0.0, &sin, &cos);
  EXPECT_EQ(sin, 0.0);
  EXPECT_EQ(cos, 1.0);
  EXPECT_EQ(exact::Exp(0.0), 1.0);
  EXPECT_EQ(exact::Log(1.0), 0.0);
  EXPECT_EQ(exact::Pow(10000.0, 0.0), 1.0);
}

TEST(ExactMathTest, OddInputsStayFinite) {
  for (double x : {1e300, -1e300, HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    double sin = 0, cos = 0;
    exact::SinCos(x, &sin, &cos);
    EXPECT_TRUE(std::isfinite(sin) && std::isfinite(cos));
  }
  EXPECT_TRUE(std::isfinite(exact::Exp(1e9)));
  EXPECT_EQ(exact::Log(-1.0), 0.0);
}

}  // namespace
}  // namespace lull
