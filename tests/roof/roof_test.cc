#include "roof/roof.h"

#include <gtest/gtest.h>

#include <vector>

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

TEST(Roof, BandwidthOfMemoryOfTheCaller) {
  const std::vector<uint8_t> memory(1 << 20, 1);
  for (const int threads : {1, 2}) {
    const Result<double> result = MeasureReadBandwidth("scalar", memory, threads, 1);
    ASSERT_TRUE(result.ok());
    EXPECT_GT(*result, 1e8);
    EXPECT_LT(*result, 1e13);
  }
}

TEST(Roof, WritesAndFloats) {
  const Result<double> bandwidth = MeasureWriteBandwidth("scalar", 64 << 10, 1, 1);
  const Result<double> fmas = MeasureF32Peak("scalar", 1), divides = MeasureDividePeak("scalar", 1);
  ASSERT_TRUE(bandwidth.ok() && fmas.ok() && divides.ok());
  EXPECT_GT(*bandwidth, 1e8);
  EXPECT_LT(*bandwidth, 1e13);
  EXPECT_GT(*fmas, 1e6);
  EXPECT_GT(*divides, 1e6);
}

TEST(Roof, WhatCannotBeMeasuredIsRefused) {
  EXPECT_EQ(MeasureTilePeak("avx512", 1).error().code, ErrorCode::kUsage);
  EXPECT_EQ(MeasureReadBandwidth("scalar", 1023, 2, 1).error().code, ErrorCode::kUsage);
  EXPECT_EQ(MeasureWriteBandwidth("scalar", 1024, 0, 1).error().code, ErrorCode::kUsage);
  EXPECT_EQ(MeasureF32Peak("scalar", 0).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace lull
