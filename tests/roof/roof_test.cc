#include "roof/roof.h"

#include <gtest/gtest.h>

namespace lull {
namespace {

TEST(Roof, UnknownInstructionSetIsNamed) {
  const Result<double> result = MeasureInt8Peak("neon", 1);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  EXPECT_EQ(result.error().where, "neon");
}

TEST(Roof, MeasuresSomethingPlausible) {
  const Result<double> bandwidth = MeasureReadBandwidth("scalar", 8 << 20, 1, 2);
  const Result<double> peak = MeasureInt8Peak("scalar", 1);
  ASSERT_TRUE(bandwidth.ok() && peak.ok());
  EXPECT_GT(*bandwidth, 1e8);
  EXPECT_LT(*bandwidth, 1e13);
  EXPECT_GT(*peak, 1e7);
}

}  // namespace
}  // namespace lull
