// Rows on their way into another order, shape or type.
#include "convert/passage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

namespace lull {
namespace {

std::vector<float> CopyAll(const Passage& passage, uint64_t rows, size_t values) {
  std::vector<float> out(values);
  passage.Copy(0, rows, reinterpret_cast<uint8_t*>(out.data()));
  return out;
}

// 0, 1, 2, ...: of F32 and as bytes.
std::vector<uint8_t> Counting(size_t count) {
  std::vector<uint8_t> bytes(count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    memcpy(&bytes[i * sizeof(float)], &value, sizeof(float));
  }
  return bytes;
}

Passage F32(const std::vector<uint8_t>& bytes) {
  Passage passage;
  passage.parts = {bytes};
  passage.from = passage.to = *FindFloatType("F32");
  passage.overflow = std::make_shared<bool>(false);
  return passage;
}

TEST(Passage, EverySecondRowOfEveryMatrix) {
  const std::vector<uint8_t> bytes = Counting(2 * 4 * 3);
  Passage passage = F32(bytes);
  passage.width = 3;
  passage.units = 2;
  passage.units_all = 4;
  passage.units_part = 4;
  passage.begin = 1;
  passage.step = 2;
  EXPECT_EQ(CopyAll(passage, 4, 12),
            (std::vector<float>{3, 4, 5, 9, 10, 11, 15, 16, 17, 21, 22, 23}));
}

TEST(Passage, PartsLieOneBehindTheOther) {
  const std::vector<uint8_t> bytes = Counting(4);
  Passage passage = F32(bytes);
  passage.parts = {std::span(bytes).subspan(8), std::span(bytes).first(8)};
  passage.width = 2;
  passage.units = passage.units_all = passage.units_part = 1;
  EXPECT_EQ(CopyAll(passage, 2, 4), (std::vector<float>{2, 3, 0, 1}));
}

// Heads of two rows behind two others, in groups of three: the first of each group, the second, ...
TEST(Passage, HeadsOfGroupsInTurn) {
  const std::vector<uint8_t> bytes = Counting(2 + 2 * 3 * 2);
  Passage passage = F32(bytes);
  passage.units = passage.units_all = passage.units_part = 14;
  passage.units_each = 14;
  passage.tiled_begin = 2;
  passage.tiled_heads = 2;
  passage.tiled_each = 3;
  passage.tiled_units = 2;
  EXPECT_EQ(CopyAll(passage, 1, 14),
            (std::vector<float>{0, 1, 2, 3, 8, 9, 4, 5, 10, 11, 6, 7, 12, 13}));
}

// Of each head of 3 rows the first two, turned: a latent's second K matrix.
TEST(Passage, ColumnsOfSomeRowsOfEveryHead) {
  const std::vector<uint8_t> bytes = Counting(2 * 3 * 2);
  Passage passage = F32(bytes);
  passage.width = 2;
  passage.units = 2;
  passage.units_all = 3;
  passage.units_part = 4;
  passage.transposed = true;
  EXPECT_EQ(CopyAll(passage, 4, 8), (std::vector<float>{0, 2, 1, 3, 6, 8, 7, 9}));
}

TEST(Passage, ChangesValuesAndSaysWhatDoesNotFit) {
  const std::vector<uint8_t> bytes = Counting(2);
  Passage passage = F32(bytes);
  passage.units = passage.units_all = passage.units_part = passage.units_each = 2;
  passage.values = HfValues::kPlusOne;
  EXPECT_EQ(CopyAll(passage, 1, 2), (std::vector<float>{1, 2}));
  passage.values = HfValues::kMinusExp;
  EXPECT_EQ(CopyAll(passage, 1, 2), (std::vector<float>{-1, -std::exp(1.0f)}));
  EXPECT_FALSE(*passage.overflow);
  const float huge = 70000.0f;
  std::vector<uint8_t> too_much(4);
  memcpy(too_much.data(), &huge, 4);
  passage.parts = {too_much};
  passage.to = *FindFloatType("F16");
  passage.units = passage.units_all = passage.units_part = passage.units_each = 1;
  passage.values = HfValues::kSame;
  uint8_t half[2];
  passage.Copy(0, 1, half);
  EXPECT_TRUE(*passage.overflow);
}

// Value i of a block is the low half of byte i / 2 where i is even, else the high one; GGUF has
// value i and i + 16 in byte i.
TEST(Passage, BlocksOfFourBits) {
  std::vector<uint8_t> blocks(3 * 16);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<uint8_t>(37 * i + 11);
  const std::vector<uint8_t> scales = {120, 121, 122};
  Mxfp4Passage passage;
  passage.blocks = blocks;
  passage.scales = scales;
  passage.row = passage.rows = 1;
  passage.rows_all = 3;
  passage.begin = 1;
  passage.step = 2;
  std::vector<uint8_t> out(17);
  passage.Copy(0, 1, out.data());
  EXPECT_EQ(out[0], 121);
  const auto value = [&](size_t i) { return blocks[16 + i / 2] >> (i % 2 == 0 ? 0 : 4) & 15; };
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(out[1 + i] & 15, value(i)) << i;
    EXPECT_EQ(out[1 + i] >> 4, value(i + 16)) << i;
  }
}

}  // namespace
}  // namespace lull
