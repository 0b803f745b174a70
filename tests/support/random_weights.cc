#include "tests/support/random_weights.h"

#include <cmath>
#include <algorithm>
#include <cstring>

#include "base/f16.h"

namespace lull {
namespace {

void Put16(uint8_t* out, uint16_t bits) { memcpy(out, &bits, sizeof(bits)); }

void FillBytes(TestRandom& random, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t bits = random.Next();
    memcpy(out + i, &bits, std::min<size_t>(8, count - i));
  }
}

// A block type with f16 scales, d and behind it the second: value = d * code - m_ratio * d * (1 or
// sub-min). code_deviation is the standard deviation of value / d when all codes are random.
struct BlockRecipe {
  uint32_t type_id;
  size_t block_elements;
  size_t block_bytes;
  float code_deviation;
  float min_ratio;    // second scale relative to the first; 0: there is none
  size_t d_offset;
};

constexpr BlockRecipe kRecipes[] = {
    {2, 32, 18, 4.6f, 0.0f, 0},       // Q4_0: codes -8..7
    {3, 32, 20, 4.6f, -7.5f, 0},      // Q4_1: codes 0..15, m
    {6, 32, 22, 9.2f, 0.0f, 0},       // Q5_0: codes -16..15
    {7, 32, 24, 9.2f, -15.5f, 0},     // Q5_1: codes 0..31, m
    {8, 32, 34, 73.9f, 0.0f, 0},      // Q8_0
    {12, 256, 144, 173.0f, 7.5f, 0},  // Q4_K: 6-bit scales and mins
    {13, 256, 176, 350.0f, 15.5f, 0}, // Q5_K
    {14, 256, 210, 684.0f, 0.0f, 208},  // Q6_K: d last, sub-scales halved below
    {10, 256, 84, 9.84f, 1.5f, 80},     // Q2_K: 4-bit scales and mins
    {11, 256, 110, 43.3f, 0.0f, 108},   // Q3_K
    {20, 32, 18, 67.4f, 0.0f, 0},       // IQ4_NL
    {23, 256, 136, 1246.0f, 0.0f, 0},   // IQ4_XS
    {35, 256, 66, 0.707f, 0.0f, 64},    // TQ2_0: codes 0..2
    {34, 256, 54, 0.816f, 0.0f, 52},    // TQ1_0
    {41, 128, 18, 1.0f, 0.0f, 0},       // Q1_0
    {42, 64, 18, 0.707f, 0.0f, 0},      // Q2_0: codes 0..2
};
// MXFP4: its scale is an exponent.
constexpr uint32_t kMxfp4 = 39;
constexpr size_t kMxfp4Elements = 32, kMxfp4Bytes = 17;
constexpr float kMxfp4Deviation = 5.85f;

const BlockRecipe* FindRecipe(uint32_t type_id) {
  for (const BlockRecipe& recipe : kRecipes)
    if (recipe.type_id == type_id) return &recipe;
  return nullptr;
}

// The 6-bit minimums of Q4_K and Q5_K: their scales but for the low bits, so that the values of a
// sub-block lie around 0, as a quantizer's do.
void PairMins(TestRandom& random, uint8_t* codes) {
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t bits = random.Next();
    codes[4 + i] = static_cast<uint8_t>(codes[i] ^ (bits & 7));
    const uint8_t scale = codes[8 + i] & 15;
    codes[8 + i] = static_cast<uint8_t>(scale | ((scale ^ (bits >> 8 & 7)) << 4));
  }
}

// Makes the codes of a random block such as a quantizer writes.
void FixCodes(TestRandom& random, uint32_t type_id, uint8_t* block) {
  switch (type_id) {
    case 12:
    case 13:
      PairMins(random, block + 4);
      break;
    case 14:  // int8 sub-scales within -64..63 keep d clear of subnormals
      for (size_t i = 192; i < 208; ++i)
        block[i] = static_cast<uint8_t>(static_cast<int8_t>(block[i]) / 2);
      break;
    case 10:  // a min is its scale but for the lowest bit
      for (size_t i = 0; i < 16; ++i) {
        const int scale = block[i] & 15, min = scale ^ (block[i] >> 4 & 1);
        block[i] = static_cast<uint8_t>(scale | min << 4);
      }
      break;
    case 35:  // a pair of bits is not 3
    case 42:
      for (size_t i = 0; i < (type_id == 42 ? 18u : 64u); ++i)
        block[i] = static_cast<uint8_t>(block[i] & ~(block[i] & block[i] << 1 & 0xaa));
      break;
    case 34:  // 243 of the bytes are written
      for (size_t i = 0; i < 52; ++i)
        block[i] = static_cast<uint8_t>((block[i] * 243 / 256 * 256 + 242) / 243);
      break;
    default:
      break;
  }
}

void FillMxfp4Block(TestRandom& random, float deviation, uint8_t* block) {
  FillBytes(random, block, kMxfp4Bytes);
  const float d = deviation / kMxfp4Deviation * random.Uniform(0.8f, 1.6f);
  block[0] = static_cast<uint8_t>(128 + std::ilogb(d));
}

void FillBlock(TestRandom& random, const BlockRecipe& recipe, float deviation, uint8_t* block) {
  FillBytes(random, block, recipe.block_bytes);
  FixCodes(random, recipe.type_id, block);
  float d = deviation / recipe.code_deviation * random.Uniform(0.6f, 1.4f);
  // Signs of d vary where a quantizer's would: not in the types with a minimum.
  if (recipe.min_ratio == 0.0f && (random.Next() & 1) != 0) d = -d;
  Put16(block + recipe.d_offset, F32ToF16(d));
  if (recipe.min_ratio != 0.0f)
    Put16(block + recipe.d_offset + 2, F32ToF16(d * recipe.min_ratio * random.Uniform(0.9f, 1.1f)));
}

void FillRow(TestRandom& random, uint32_t type_id, uint64_t elements, float deviation, uint8_t* out) {
  if (const BlockRecipe* recipe = FindRecipe(type_id)) {
    for (uint64_t k = 0; k < elements; k += recipe->block_elements, out += recipe->block_bytes)
      FillBlock(random, *recipe, deviation, out);
    return;
  }
  if (type_id == kMxfp4) {
    for (uint64_t k = 0; k < elements; k += kMxfp4Elements, out += kMxfp4Bytes)
      FillMxfp4Block(random, deviation, out);
    return;
  }
  const float bound = deviation * std::sqrt(3.0f);
  for (uint64_t k = 0; k < elements; ++k) {
    const float value = random.Uniform(-bound, bound);
    if (type_id == 0) memcpy(out + 4 * k, &value, 4);
    if (type_id == 1) Put16(out + 2 * k, F32ToF16(value));
    if (type_id == 30) Put16(out + 2 * k, F32ToBf16(value));
  }
}

}  // namespace

uint64_t HashText(const std::string& text, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ (seed * 0x9e3779b97f4a7c15u);
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return TestRandom(hash).Next();
}

GgufWriter::RowSource RandomRows(uint32_t type_id, uint64_t elements, float deviation, uint64_t seed) {
  return [=](uint64_t first_row, uint64_t num_rows, uint8_t* out) {
    const uint64_t row_bytes = GgufRowBytes(type_id, elements).value();
    for (uint64_t row = first_row; row < first_row + num_rows; ++row, out += row_bytes) {
      TestRandom random(seed ^ (row * 0xd1342543de82ef95u));
      FillRow(random, type_id, elements, deviation, out);
    }
  };
}

GgufWriter::RowSource RandomF32Rows(uint64_t elements, float low, float high, uint64_t seed) {
  return [=](uint64_t first_row, uint64_t num_rows, uint8_t* out) {
    for (uint64_t row = first_row; row < first_row + num_rows; ++row) {
      TestRandom random(seed ^ (row * 0xd1342543de82ef95u));
      for (uint64_t k = 0; k < elements; ++k, out += 4) {
        const float value = random.Uniform(low, high);
        memcpy(out, &value, 4);
      }
    }
  };
}

}  // namespace lull
