// Matrix products: the same bits on every instruction set, for every split and batch; and near the
// product of the dequantised weights in double precision.
#include "kernels/cpu/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/support/random_quant.h"

namespace lull {
namespace {

struct IsaMatMul {
  const char* name;
  decltype(&scalar::MatMul) matmul;
  size_t (*scratch_bytes)(const PackedMatrix&);
  bool present;
};

std::vector<IsaMatMul> AllIsas() {
  return {{"scalar", scalar::MatMul, scalar::MatMulScratchBytes, true},
          {"avx2", avx2::MatMul, avx2::MatMulScratchBytes,
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
          {"avx2vnni", avx2vnni::MatMul, avx2vnni::MatMulScratchBytes,
           static_cast<bool>(__builtin_cpu_supports("avxvnni"))},
          {"avx512", avx512::MatMul, avx512::MatMulScratchBytes,
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi")},
          {"amx", amx::MatMul, amx::MatMulScratchBytes, MachineHas(Isa::kAmx)}};
}

// Activations quantised per 32 and per 256 values to int8, as a plain reference.
struct RandomActs {
  std::vector<float> f32, scale, scaled_sum, super_scale;
  std::vector<int8_t> q, super_q;
  std::vector<int32_t> half_sums;
  std::vector<int16_t> sums32, sums16;
  Activations view;

  // all: the value of each, in place of random ones.
  RandomActs(size_t rows, size_t k, std::mt19937& rng, bool super_blocks, float all = 0.0f)
      : f32(rows * k),
        scale(rows * k / 32),
        scaled_sum(rows * k / 32),
        super_scale(rows * k / 256),
        q(rows * k),
        super_q(rows * k),
        half_sums(rows * k / 16),
        sums32(rows * k / 32),
        sums16(rows * k / 16) {
    std::normal_distribution<float> normal;
    for (float& f : f32) f = all != 0.0f ? all : normal(rng);
    if (k % 32 == 0) {
      for (size_t b = 0; b < rows * k / 32; ++b) QuantizeBlock(b);
    }
    if (k % 256 == 0) {
      for (size_t b = 0; b < rows * k / 256; ++b) QuantizeSuperBlock(b);
    }
    view = {rows, k, f32.data(), q.data(), scale.data(), scaled_sum.data(), half_sums.data()};
    if (!super_blocks) return;
    view.super_q = super_q.data();
    view.super_scale = super_scale.data();
    view.sums32 = sums32.data();
    view.sums16 = sums16.data();
  }
  void QuantizeSuperBlock(size_t b) {
    float max = 0;
    for (size_t i = 256 * b; i < 256 * b + 256; ++i) max = std::max(max, std::fabs(f32[i]));
    super_scale[b] = max / 127.0f;
    for (size_t i = 256 * b; i < 256 * b + 256; ++i) {
      const float rounded = std::nearbyint(f32[i] / super_scale[b]);
      super_q[i] = static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f));
      sums32[i / 32] = static_cast<int16_t>(sums32[i / 32] + super_q[i]);
      sums16[i / 16] = static_cast<int16_t>(sums16[i / 16] + super_q[i]);
    }
  }
  void QuantizeBlock(size_t b) {
    float max = 0;
    for (size_t i = 0; i < 32; ++i) max = std::max(max, std::fabs(f32[32 * b + i]));
    scale[b] = max / 127.0f;
    int32_t sum = 0;
    for (size_t i = 0; i < 32; ++i) {
      q[32 * b + i] = static_cast<int8_t>(
          std::clamp(std::nearbyint(f32[32 * b + i] / scale[b]), -127.0f, 127.0f));
      half_sums[2 * b + i / 16] += q[32 * b + i];
      sum += q[32 * b + i];
    }
    scaled_sum[b] = scale[b] * static_cast<float>(sum);
  }
};

struct Scratch {
  explicit Scratch(size_t bytes) : storage(bytes + 64) {}
  void* get() {
    return storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
  }
  std::vector<uint8_t> storage;
};

constexpr float kUntouched = -12345.0f;

// A type, and whether K-quants read activations in super-blocks.
struct Case {
  const QuantFormat* format;
  bool super_blocks;
};

class MatMulTest : public testing::TestWithParam<Case> {
 protected:
  std::vector<float> Whole(const IsaMatMul& isa, const PackedMatrix& w, const Activations& x) {
    std::vector<float> out(x.rows * (w.rows + 3), kUntouched);
    Scratch scratch(isa.scratch_bytes(w));
    isa.matmul(w, 0, w.groups(), x, 0, x.rows, out.data(), w.rows + 3, scratch.get());
    return out;
  }
  // One activation row at a time on the scalar reference.
  std::vector<float> RowByRow(const PackedMatrix& w, const Activations& x) {
    std::vector<float> out(x.rows * (w.rows + 3), kUntouched);
    Scratch scratch(scalar::MatMulScratchBytes(w));
    for (size_t row = 0; row < x.rows; ++row) {
      scalar::MatMul(w, 0, w.groups(), x, row, row + 1, out.data(), w.rows + 3, scratch.get());
    }
    return out;
  }
};

void ExpectSameBits(const std::vector<float>& want, const std::vector<float>& got,
                    const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  if (std::memcmp(want.data(), got.data(), want.size() * 4) == 0) return;
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(want[i]), std::bit_cast<uint32_t>(got[i]))
        << what << " index " << i << ": " << want[i] << " against " << got[i];
  }
}

TEST_P(MatMulTest, SameBitsForEveryBatchAndInstructionSet) {
  const QuantFormat& format = *GetParam().format;
  std::mt19937 rng(11);
  const size_t k = 768, rows = 53;
  const OwnedMatrix w(format, RandomFileRows(format, rows, k, rng), rows, k);
  const RandomActs acts(64, k, rng, GetParam().super_blocks);
  const std::vector<float> want = RowByRow(w.view, acts.view);
  for (const IsaMatMul& isa : AllIsas()) {
    if (!isa.present) continue;
    for (const size_t n :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33, 64}) {
      Activations x = acts.view;
      x.rows = n;
      const std::vector<float> part(want.begin(),
                                    want.begin() + static_cast<ptrdiff_t>(n * (rows + 3)));
      ExpectSameBits(part, Whole(isa, w.view, x),
                     std::string(isa.name) + " rows " + std::to_string(n));
    }
  }
}

TEST_P(MatMulTest, SameBitsForEveryShape) {
  const QuantFormat& format = *GetParam().format;
  std::mt19937 rng(12);
  for (const size_t k : {32, 64, 96, 256, 512, 576, 640, 672, 1280, 1536, 1600, 4096}) {
    if (k % format.block_k != 0) continue;
    for (const size_t rows : {1, 16, 31, 32, 40}) {
      const OwnedMatrix w(format, RandomFileRows(format, rows, k, rng), rows, k);
      const RandomActs acts(9, k, rng, GetParam().super_blocks);
      const std::vector<float> want = RowByRow(w.view, acts.view);
      for (const IsaMatMul& isa : AllIsas()) {
        if (!isa.present) continue;
        ExpectSameBits(
            want, Whole(isa, w.view, acts.view),
            std::string(isa.name) + " k " + std::to_string(k) + " rows " + std::to_string(rows));
      }
    }
  }
}

// Batches around the tiles' and panels' heights, with the shallowest products there are and ones
// that end in the middle of a chunk of K.
TEST_P(MatMulTest, SameBitsForOddBatchesOfLeastDepth) {
  const QuantFormat& format = *GetParam().format;
  std::mt19937 rng(15);
  const size_t least = std::max<size_t>(32, format.block_k);
  for (const size_t k : {least, 3 * least, 2048 + least}) {
    const size_t rows = k < 2048 ? 33 : 17;
    const OwnedMatrix w(format, RandomFileRows(format, rows, k, rng), rows, k);
    const RandomActs acts(131, k, rng, GetParam().super_blocks);
    const std::vector<float> want = RowByRow(w.view, acts.view);
    for (const IsaMatMul& isa : AllIsas()) {
      if (!isa.present) continue;
      for (const size_t n : {9, 15, 17, 63, 65, 66, 73, 79, 81, 97, 127, 129, 131}) {
        Activations x = acts.view;
        x.rows = n;
        const std::vector<float> part(want.begin(),
                                      want.begin() + static_cast<ptrdiff_t>(n * (rows + 3)));
        ExpectSameBits(
            part, Whole(isa, w.view, x),
            std::string(isa.name) + " k " + std::to_string(k) + " rows " + std::to_string(n));
      }
    }
  }
}

TEST_P(MatMulTest, ProductsOfNoDepthAreZeros) {
  std::mt19937 rng(16);
  const PackedMatrix w = {GetParam().format, 21, 0, 0, nullptr};
  for (const IsaMatMul& isa : AllIsas()) {
    if (!isa.present) continue;
    for (const size_t n : {1, 8, 20}) {
      const std::vector<float> got =
          Whole(isa, w, RandomActs(n, 0, rng, GetParam().super_blocks).view);
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], i % 24 < 21 ? 0.0f : kUntouched) << isa.name << " " << n;
    }
  }
}

TEST_P(MatMulTest, SameBitsForEverySplit) {
  const QuantFormat& format = *GetParam().format;
  std::mt19937 rng(13);
  const size_t k = 1280, rows = 16 * 7 + 5;
  const OwnedMatrix w(format, RandomFileRows(format, rows, k, rng), rows, k);
  const RandomActs acts(70, k, rng, GetParam().super_blocks);
  for (const IsaMatMul& isa : AllIsas()) {
    if (!isa.present) continue;
    const std::vector<float> want = Whole(isa, w.view, acts.view);
    for (int round = 0; round < 12; ++round) {
      std::vector<float> out(want.size(), kUntouched);
      Scratch scratch(isa.scratch_bytes(w.view));
      for (size_t g = 0; g < w.view.groups();) {
        const size_t g_end = std::min(w.view.groups(), g + 1 + rng() % 5);
        for (size_t row = 0; row < 70;) {
          const size_t row_end = std::min<size_t>(70, row + 1 + rng() % 40);
          isa.matmul(w.view, g, g_end, acts.view, row, row_end, out.data(), rows + 3,
                     scratch.get());
          row = row_end;
        }
        g = g_end;
      }
      ExpectSameBits(want, out, isa.name);
    }
  }
}

// Nothing saturates where all codes are the largest or the smallest and so are all activations.
TEST_P(MatMulTest, SameBitsForTheLargestSums) {
  const QuantFormat& format = *GetParam().format;
  if (format.activations == ActivationForm::kF32) GTEST_SKIP() << "has no integers";
  std::mt19937 rng(18);
  const size_t k = 512, rows = 17;
  for (const int byte : {0xff, 0x00}) {
    std::vector<uint8_t> file = RandomFileRows(format, rows, k, rng);
    std::vector<uint8_t> same(file.size(), static_cast<uint8_t>(byte));
    for (size_t at = 0; at < file.size(); at += format.file_block_bytes) {
      for (const size_t offset : HalfOffsets(format))
        memcpy(&same[at + offset], &file[at + offset], 2);
      if (HalfOffsets(format).empty()) same[at] = file[at];
    }
    const OwnedMatrix w(format, same, rows, k);
    RandomActs acts(24, k, rng, GetParam().super_blocks, byte == 0xff ? 1.0f : -1.0f);
    const std::vector<float> want = RowByRow(w.view, acts.view);
    for (const IsaMatMul& isa : AllIsas()) {
      if (isa.present) ExpectSameBits(want, Whole(isa, w.view, acts.view), isa.name);
    }
  }
}

// Scales that are subnormal in the file (f16), or make subnormal products (MXFP4's exponent).
TEST_P(MatMulTest, SameBitsForSubnormalScales) {
  const QuantFormat& format = *GetParam().format;
  if (format.activations == ActivationForm::kF32) GTEST_SKIP() << "has no scales";
  std::mt19937 rng(17);
  const size_t k = 512, rows = 21;
  std::vector<uint8_t> file = RandomFileRows(format, rows, k, rng);
  for (size_t at = 0; at < file.size(); at += format.file_block_bytes) {
    for (const size_t offset : HalfOffsets(format)) {
      const uint16_t half = static_cast<uint16_t>(rng() % 0x400 | (rng() & 0x8000));
      memcpy(&file[at + offset], &half, 2);
    }
    if (HalfOffsets(format).empty()) file[at] = static_cast<uint8_t>(rng() % 4);
  }
  const OwnedMatrix w(format, file, rows, k);
  const RandomActs acts(40, k, rng, GetParam().super_blocks);
  const std::vector<float> want = RowByRow(w.view, acts.view);
  for (size_t r = 0; r < rows; ++r) ASSERT_NE(want[r], 0.0f);
  for (const IsaMatMul& isa : AllIsas()) {
    if (isa.present) ExpectSameBits(want, Whole(isa, w.view, acts.view), isa.name);
  }
}

// Bound: the quantised product differs from the exact product of the same numbers only by f32
// rounding (2^-24 per operation, about three operations per 32 weights, against the sum of
// absolute terms), and from the f32 activations by half a quantisation step per weight.
TEST_P(MatMulTest, NearTheDoublePrecisionProduct) {
  const QuantFormat& format = *GetParam().format;
  std::mt19937 rng(14);
  const bool is_float = format.activations == ActivationForm::kF32;
  const bool is_super = GetParam().super_blocks;
  for (const size_t k : {256, 1536}) {
    const size_t rows = 37, n = 8;
    const OwnedMatrix w(format, RandomFileRows(format, rows, k, rng), rows, k);
    const RandomActs acts(n, k, rng, GetParam().super_blocks);
    std::vector<float> weights(k);
    for (const IsaMatMul& isa : AllIsas()) {
      if (!isa.present) continue;
      const std::vector<float> got = Whole(isa, w.view, acts.view);
      for (size_t r = 0; r < rows; ++r) {
        format.dequantize_row(w.view.data + r / 16 * w.view.group_bytes, r % 16, k, weights.data());
        for (size_t c = 0; c < n; ++c) {
          double exact = 0, quantised = 0, magnitude = 0, step = 0;
          for (size_t i = 0; i < k; ++i) {
            const size_t at = c * k + i;
            const double wi = weights[i], xi = acts.f32[at];
            const double s = is_super ? acts.super_scale[at / 256] : acts.scale[at / 32];
            const double xq = s * (is_super ? acts.super_q[at] : acts.q[at]);
            exact += wi * xi;
            quantised += wi * xq;
            // A min and a large d * q cancel inside one weight: count both.
            magnitude += (std::fabs(wi) + 8.0) * std::fabs(is_float ? xi : xq);
            step += std::fabs(wi) * 0.5 * s;
          }
          const double value = got[c * (rows + 3) + r];
          const double rounding = magnitude * std::ldexp(static_cast<double>(k), -24);
          const double tight = is_float ? exact : quantised;
          ASSERT_NEAR(value, tight, rounding * 0.25) << isa.name << " row " << r << " col " << c;
          ASSERT_NEAR(value, exact, rounding * 0.25 + (is_float ? 0 : step) + 1e-6);
        }
      }
    }
  }
}

std::vector<Case> Cases() {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  std::vector<Case> cases;
  for (size_t i = 0; i < count; ++i) {
    cases.push_back({formats[i], false});
    if (formats[i]->activations == ActivationForm::kBlocksOrSuperBlocks)
      cases.push_back({formats[i], true});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Types, MatMulTest, testing::ValuesIn(Cases()), [](const auto& info) {
  return std::string(info.param.format->name) + (info.param.super_blocks ? "_super" : "");
});

}  // namespace
}  // namespace lull
