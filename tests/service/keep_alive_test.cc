#include "service/keep_alive.h"

#include <gtest/gtest.h>

#include <random>

namespace lull {
namespace {

TEST(KeepAlive, Durations) {
  const std::pair<const char*, int64_t> cases[] = {
      {"5m", 300'000},
      {"1h30m", 5'400'000},
      {"1.5h", 5'400'000},
      {"250ms", 250},
      {"0", 0},
      {"0s", 0},
      {"300", 300'000},
      {"0.5", 500},
      {"-1", -1},
      {"-5m", -1},
      {"-0", 0},
      {"1ns", 1},
      {"2s500ms", 2'500},
      {"1000000h", 3'153'600'000'000},
  };
  for (const auto& [text, ms] : cases) {
    const Result<int64_t> parsed = ParseKeepAlive(std::string(text));
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, ms) << text;
  }
  EXPECT_EQ(*ParseKeepAlive(Json(10)), 10'000);
  EXPECT_EQ(*ParseKeepAlive(Json(0.25)), 250);
  EXPECT_EQ(*ParseKeepAlive(Json(-1)), -1);
  EXPECT_EQ(*ParseKeepAlive(Json("10m")), 600'000);
}

TEST(KeepAlive, Malformed) {
  for (const char* text :
       {"", "m", "5 m", "5x", "5m-", "--5m", "+5m", "1e3s", "nan", "inf", "5m5", "0x10", ".", "-"})
    EXPECT_EQ(ParseKeepAlive(std::string(text)).status().code(), ErrorCode::kUsage) << text;
  for (const Json& value : {Json(true), Json::object(), Json::array({1})})
    EXPECT_FALSE(ParseKeepAlive(value).ok()) << value;
}

// Whatever comes: an error, -1, or a number of milliseconds.
TEST(KeepAlive, AnyBytes) {
  std::mt19937 random(1);
  const std::string letters = "0123456789.-+hmsnu eE";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t n = random() % 12; n > 0; --n) text += letters[random() % letters.size()];
    const Result<int64_t> parsed = ParseKeepAlive(text);
    EXPECT_TRUE(!parsed.ok() || *parsed >= -1) << text;
  }
}

}  // namespace
}  // namespace lull
