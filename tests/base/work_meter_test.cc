#include "base/work_meter.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace lull {
namespace {

class CountingPacer : public Pacer {
 public:
  void Checkpoint() override { ++checkpoints; }
  bool capped() const override { return false; }
  int64_t checkpoints = 0;
};

TEST(WorkMeterTest, AppendingTakesNoMoreMemoryThanGrowingDoes) {
  CountingPacer pacer;
  ExecContext ctx;
  ctx.pacer = &pacer;
  WorkMeter meter(ctx);
  std::string text;
  for (int i = 0; i < 300'000; ++i) {
    const char c = static_cast<char>('a' + i % 26);
    const size_t before = text.capacity();
    AppendPaced(&meter, std::string_view(&c, 1), &text);
    if (i < 1000) {
      ASSERT_LE(text.capacity(), 2 * text.size() + 32) << i;
    }
    // Growing copies all there is: in pieces once that is long.
    if (text.capacity() != before && i >= 70'000) {
      ASSERT_GE(text.capacity(), 2 * text.size() - 2) << i;
    }
  }
  ASSERT_EQ(text.size(), 300'000u);
  for (size_t i = 0; i < text.size(); ++i) ASSERT_EQ(text[i], static_cast<char>('a' + i % 26));
}

// A long string that is nearly full grows by paced copying, whatever is appended.
TEST(WorkMeterTest, GrowingALongStringIsPaced) {
  CountingPacer pacer;
  ExecContext ctx;
  ctx.pacer = &pacer;
  std::string text;
  text.reserve(size_t{8} << 20);
  text.assign(text.capacity() - 100, 'x');
  WorkMeter meter(ctx);
  for (int i = 0; i < 200; ++i) {
    const int64_t before = pacer.checkpoints;
    const char* const data = text.data();
    AppendPaced(&meter, "y", &text);
    if (text.data() != data) {
      EXPECT_GE(pacer.checkpoints - before, 60) << i;
    }
  }
  EXPECT_EQ(text.substr(text.size() - 201), "x" + std::string(200, 'y'));
}

TEST(WorkMeterTest, FreedBuffersAreEmpty) {
  const ExecContext ctx;
  WorkMeter meter(ctx);
  std::vector<int> numbers;
  AssignPaced(&meter, 1'000'000, 7, &numbers);
  ASSERT_EQ(numbers.size(), 1'000'000u);
  EXPECT_EQ(numbers.back(), 7);
  FreePaced(&meter, &numbers);
  EXPECT_EQ(numbers.capacity(), 0u);
  const std::string copy = CopyPaced(&meter, std::string(1'000'000, 'z'));
  EXPECT_EQ(copy, std::string(1'000'000, 'z'));
}

}  // namespace
}  // namespace lull
