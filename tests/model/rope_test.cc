#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lull {
namespace {

TEST(RopeTableTest, MatchesTheFormula) {
  const std::vector<float> factors = {1.0f, 1.5f, 4.0f, 8.0f};
  for (const float* f : {static_cast<const float*>(nullptr), factors.data()})
    for (double scale : {1.0, 8.0}) {
      const RopeTable table({.base = 500000.0, .dims = 8, .factor = scale, .factors = f}, 100000);
      float cos[4], sin[4];
      for (int64_t position : {0, 1, 63, 64, 65, 4097, 99999}) {
        table.Row(position, cos, sin);
        for (size_t i = 0; i < 4; ++i) {
          double angle = static_cast<double>(position) / scale *
                         std::pow(500000.0, -2.0 * static_cast<double>(i) / 8.0);
          if (f != nullptr) angle /= static_cast<double>(f[i]);
          EXPECT_NEAR(cos[i], std::cos(angle), 1e-7) << position << " " << i;
          EXPECT_NEAR(sin[i], std::sin(angle), 1e-7) << position << " " << i;
        }
      }
    }
}

TEST(RopeTableTest, PositionZeroIsTheIdentity) {
  const RopeTable table({.dims = 64}, 10);
  float cos[32], sin[32];
  table.Row(0, cos, sin);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(cos[i], 1.0f);
    EXPECT_EQ(sin[i], 0.0f);
  }
}

}  // namespace
}  // namespace lull
