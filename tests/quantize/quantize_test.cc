// The quantizers: no worse than llama.cpp's on the same rows (tools/compare_quantizers.py), exact
// where the weights lie on a type's grid, and the same bytes however rows are passed.
#include "quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace lull {
namespace {

constexpr size_t kRows = 8, kK = 512;

const QuantFormat& FormatOf(const std::string& name) {
  return *FindQuantFormatByName(name.c_str());
}

std::vector<uint8_t> Quantized(const QuantFormat& format, std::span<const float> rows, size_t k,
                               std::span<const float> importance = {}) {
  std::vector<uint8_t> out(rows.size() / format.block_k * format.file_block_bytes);
  const Status status = QuantizeRows(format, rows, k, importance, out);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return out;
}

std::vector<float> Dequantized(const QuantFormat& format, const std::vector<uint8_t>& file,
                               size_t k) {
  const size_t row_bytes = k / format.block_k * format.file_block_bytes;
  std::vector<float> out(file.size() / row_bytes * k);
  std::vector<uint8_t> group(format.GroupBytes(k));
  for (size_t row = 0; row < file.size() / row_bytes; ++row) {
    format.repack_group(&file[row * row_bytes], 1, k, group.data());
    format.dequantize_row(group.data(), 0, k, &out[row * k]);
  }
  return out;
}

double ErrorOf(std::span<const float> want, std::span<const float> got,
               std::span<const float> importance) {
  double sum = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double off = double{got[i]} - want[i];
    sum += off * off * (importance.empty() ? 1.0 : importance[i % importance.size()]);
  }
  return sum;
}

std::vector<float> GoldenRows() {
  std::ifstream in(LULL_SOURCE_DIR "/tests/quantize/goldens/rows.f32", std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  std::vector<float> floats(bytes.size() / 4);
  memcpy(floats.data(), bytes.data(), floats.size() * 4);
  return floats;
}

class QuantizeTest : public testing::TestWithParam<std::string> {};

TEST_P(QuantizeTest, NoWorseThanLlamaCpp) {
  const QuantFormat& format = FormatOf(GetParam());
  const std::vector<float> all = GoldenRows();
  ASSERT_EQ(all.size(), (kRows + 1) * kK);
  const std::span<const float> rows(all.data(), kRows * kK), importance(&all[kRows * kK], kK);
  std::ifstream in(LULL_SOURCE_DIR "/tests/quantize/goldens/errors.txt");
  std::string line;
  bool found = false;
  while (std::getline(in, line)) {
    char name[16];
    double plain, weighted;
    if (sscanf(line.c_str(), "%15s %lf %lf", name, &plain, &weighted) != 3) continue;
    if (format.name != std::string(name)) continue;
    found = true;
    const double limit = 1.02 * 1.02;  // of squares
    EXPECT_LT(ErrorOf(rows, Dequantized(format, Quantized(format, rows, kK), kK), {}),
              limit * plain);
    EXPECT_LT(
        ErrorOf(rows, Dequantized(format, Quantized(format, rows, kK, importance), kK), importance),
        limit * weighted);
  }
  EXPECT_TRUE(found || format.activations == ActivationForm::kF32) << "no golden";
}

TEST_P(QuantizeTest, EachRowAloneGivesTheSameBytes) {
  const QuantFormat& format = FormatOf(GetParam());
  const std::vector<float> all = GoldenRows();
  const std::span<const float> rows(all.data(), kRows * kK), importance(&all[kRows * kK], kK);
  const std::vector<uint8_t> together = Quantized(format, rows, kK, importance);
  std::vector<uint8_t> alone;
  for (size_t row = 0; row < kRows; ++row) {
    const std::vector<uint8_t> one = Quantized(format, rows.subspan(row * kK, kK), kK, importance);
    alone.insert(alone.end(), one.begin(), one.end());
  }
  EXPECT_EQ(together, alone);
}

// Only ratios of importances count: four times as much of each changes nothing, nor do zeros alone.
TEST_P(QuantizeTest, ImportancesAreRelative) {
  const QuantFormat& format = FormatOf(GetParam());
  const std::vector<float> all = GoldenRows();
  const std::span<const float> rows(all.data(), kRows * kK), importance(&all[kRows * kK], kK);
  std::vector<float> larger(importance.begin(), importance.end());
  for (float& w : larger) w *= 4.0f;
  EXPECT_EQ(Quantized(format, rows, kK, importance), Quantized(format, rows, kK, larger));
  EXPECT_EQ(Quantized(format, rows, kK), Quantized(format, rows, kK, std::vector<float>(kK, 0.0f)));
}

TEST_P(QuantizeTest, ZerosStayZeros) {
  const QuantFormat& format = FormatOf(GetParam());
  for (const float f : Dequantized(format, Quantized(format, std::vector<float>(kK), kK), kK))
    ASSERT_EQ(f, 0.0f);
}

TEST_P(QuantizeTest, ExtremesStayFinite) {
  const QuantFormat& format = FormatOf(GetParam());
  std::mt19937 rng(5);
  for (const float size : {1e-44f, 1e-30f, 1e-9f, 1.0f, 65504.0f}) {
    std::vector<float> rows(kK);
    for (float& f : rows) f = size * (static_cast<float>(rng() % 2001) / 1000.0f - 1.0f);
    rows[3] = size;
    std::vector<float> spike(kK);
    spike[77] = size;
    for (const std::vector<float>& row : {rows, spike, std::vector<float>(kK, -size)}) {
      for (const float f : Dequantized(format, Quantized(format, row, kK), kK))
        ASSERT_TRUE(std::fabs(f) <= 1.5f * size + 1e-6f) << size << " became " << f;
    }
  }
}

TEST_P(QuantizeTest, RefusesWhatIsNoWeight) {
  const QuantFormat& format = FormatOf(GetParam());
  std::vector<float> rows(2 * kK, 0.5f);
  std::vector<uint8_t> out(2 * kK / format.block_k * format.file_block_bytes);
  rows[kK + 7] = NAN;
  const Status status = QuantizeRows(format, rows, kK, {}, out);
  EXPECT_EQ(status.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(status.error().where, "row 1, column 7");
  rows[kK + 7] = INFINITY;
  EXPECT_FALSE(QuantizeRows(format, rows, kK, {}, out).ok());
  rows[kK + 7] = 0.5f;
  EXPECT_TRUE(QuantizeRows(format, rows, kK, {}, out).ok());
  std::vector<float> importance(kK, 1.0f);
  importance[5] = -1.0f;
  EXPECT_EQ(QuantizeRows(format, rows, kK, importance, out).code(), ErrorCode::kInvalidInput);
  importance.pop_back();
  EXPECT_EQ(QuantizeRows(format, rows, kK, importance, out).code(), ErrorCode::kUsage);
  EXPECT_EQ(QuantizeRows(format, rows, kK - 1, {}, out).code(), ErrorCode::kUsage);
  EXPECT_EQ(QuantizeRows(format, rows, 0, {}, out).code(), ErrorCode::kUsage);
  out.pop_back();
  EXPECT_EQ(QuantizeRows(format, rows, kK, {}, out).code(), ErrorCode::kUsage);
}

std::vector<std::string> AllTypes() {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(formats[i]->name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Types, QuantizeTest, testing::ValuesIn(AllTypes()),
                         [](const auto& info) { return info.param; });

// Weights that a type holds exactly come back exactly.
void ExpectExact(const char* type, std::span<const float> levels, float scale) {
  const QuantFormat& format = FormatOf(type);
  std::mt19937 rng(6);
  std::vector<float> rows(kK);
  for (float& f : rows) f = scale * levels[rng() % levels.size()];
  for (size_t i = 0; i < kK; i += 32) rows[i] = scale * levels.back();
  EXPECT_EQ(Dequantized(format, Quantized(format, rows, kK), kK), rows) << type;
}

TEST(QuantizeExactly, WhatLiesOnTheGrid) {
  const float ternary[] = {-1.0f, 0.0f, 1.0f};
  ExpectExact("TQ1_0", ternary, 0.375f);
  ExpectExact("TQ2_0", ternary, 0.0123291015625f);
  const float signs[] = {-1.0f, 1.0f};
  ExpectExact("Q1_0", signs, 0.0244140625f);
  const float four[] = {-1.0f, 0.0f, 1.0f, 2.0f};
  ExpectExact("Q2_0", four, 0.0244140625f);
  const float e2m1[] = {0.0f, 0.5f, -0.5f, 1.0f, -1.5f, 2.0f, 3.0f, -4.0f, -6.0f, 6.0f};
  ExpectExact("MXFP4", e2m1, 0.0078125f);
  ExpectExact("MXFP4", e2m1, 0x1p-40f);
  const float codebook[] = {-127.0f, -104.0f, -35.0f, 1.0f, 13.0f, 89.0f, 113.0f, -127.0f};
  ExpectExact("IQ4_NL", codebook, 0.00048828125f);
  const float bytes[] = {-127.0f, -1.0f, 0.0f, 5.0f, 99.0f, 127.0f};
  ExpectExact("Q8_0", bytes, 0.00390625f);
}

}  // namespace
}  // namespace lull
