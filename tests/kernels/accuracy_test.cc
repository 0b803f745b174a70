// The kernels' mathematics against double references, with the bounds they promise. The scalar
// table stands for all: tests/kernels/isa_equality_test.cc shows the others give its bits.
#include <limits>

#include "tests/kernels/isas.h"

// std headers above: the kernels' own mathematics is compiled here for the reference set.
#include "simd/isa/scalar.h"
#define LULL_ISA scalar
#include "kernels/cpu/math-inl.h"
#undef LULL_ISA

namespace lull {
namespace {

float Exp1(float x) {
  float out[16];
  scalar::StoreF32(out, scalar::Exp(scalar::Set1(x)));
  return out[7];
}

float NextUp(float x) { return std::nextafter(x, std::numeric_limits<float>::infinity()); }

// Units in the last place of the f32 nearest to `want`.
double UlpError(double want, float got) {
  const float nearest = static_cast<float>(want);
  const double ulp = static_cast<double>(NextUp(std::fabs(nearest))) - std::fabs(nearest);
  return std::fabs(want - got) / ulp;
}

TEST(Accuracy, ExpWithinOneUlpOverItsRange) {
  double worst = 0;
  for (double x = -87.3; x <= 88.7; x += 1.7e-4) {
    const float f = static_cast<float>(x);
    if (f < -87.3f || f > 88.7f) continue;
    worst = std::max(worst, UlpError(std::exp(static_cast<double>(f)), Exp1(f)));
  }
  for (float f = 1e-30f; f < 0.5f; f *= 1.01f) {
    worst = std::max(worst, UlpError(std::exp(static_cast<double>(f)), Exp1(f)));
    worst = std::max(worst, UlpError(std::exp(-static_cast<double>(f)), Exp1(-f)));
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LT(worst, 1.0);
  EXPECT_GT(worst, 0.4);  // the measurement itself works
}

TEST(Accuracy, ExpEdges) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(1.0f, Exp1(0.0f));
  EXPECT_EQ(1.0f, Exp1(-0.0f));
  EXPECT_EQ(1.0f, Exp1(1e-40f));
  EXPECT_EQ(0.0f, Exp1(-inf));
  EXPECT_EQ(inf, Exp1(inf));
  EXPECT_EQ(0.0f, Exp1(std::nextafter(-87.3f, -inf)));
  EXPECT_GT(Exp1(-87.3f), 0x1p-126f);
  EXPECT_EQ(inf, Exp1(NextUp(88.7f)));
  EXPECT_LT(Exp1(88.7f), inf);
  EXPECT_EQ(0.0f, Exp1(-3e38f));
  EXPECT_EQ(inf, Exp1(3e38f));
  EXPECT_TRUE(std::isnan(Exp1(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(Exp1(-std::numeric_limits<float>::quiet_NaN())));
}

// Largest |got - want| / (|want| + floor) of out = kernel(x) over a grid.
template <typename Kernel, typename Reference>
double WorstRelative(double lo, double hi, double floor, Kernel kernel, Reference reference) {
  std::vector<float> x;
  for (double v = lo; v <= hi; v += (hi - lo) / 200000) x.push_back(static_cast<float>(v));
  for (float v = 1e-20f; v < 1.0f; v *= 1.1f) x.push_back(v), x.push_back(-v);
  std::vector<float> out(x.size());
  kernel(x.data(), x.size(), out.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = reference(static_cast<double>(x[i]));
    worst = std::max(worst, std::fabs(want - out[i]) / (std::fabs(want) + floor));
  }
  return worst;
}

TEST(Accuracy, Activations) {
  const Kernels& k = BestKernels();
  const std::vector<float> ones(210000, 1.0f);
  EXPECT_LT(
      WorstRelative(-80, 80, 1e-37, k.sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }),
      3e-7);
  EXPECT_LT(WorstRelative(
                -80, 80, 1e-37,
                [&](const float* x, size_t n, float* out) { k.swiglu(x, ones.data(), n, out); },
                [](double x) { return x / (1 + std::exp(-x)); }),
            3e-7);
  const auto gelu = [](double x) {
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + std::exp(-2 * u));
  };
  EXPECT_LT(
      WorstRelative(
          -5, 20, 1e-30,
          [&](const float* x, size_t n, float* out) { k.geglu(x, ones.data(), n, out); }, gelu),
      4e-6);
  EXPECT_LT(WorstRelative(
                -500, 500, 1e-30,
                [&](const float* x, size_t n, float* out) { k.soft_cap(x, 30.0f, n, out); },
                [](double x) { return 30 * std::tanh(x / 30); }),
            4e-7);
}

TEST(Accuracy, ActivationTails) {
  const Kernels& k = BestKernels();
  const float x[4] = {-1e30f, -200.0f, 200.0f, 1e30f}, ones[4] = {1, 1, 1, 1};
  float out[4];
  k.swiglu(x, ones, 4, out);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 200.0f);
  EXPECT_EQ(out[3], 1e30f);
  k.geglu(x, ones, 4, out);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 200.0f);
  EXPECT_EQ(out[3], 1e30f);
  k.soft_cap(x, 50.0f, 4, out);
  EXPECT_EQ(out[0], -50.0f);
  EXPECT_EQ(out[3], 50.0f);
  k.sigmoid(x, 4, out);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[3], 1.0f);
}

TEST(Accuracy, RmsNorm) {
  const Kernels& k = BestKernels();
  for (size_t n : OddSizes()) {
    const auto x = RandomFloats(n, 21, 5.0f), weight = RandomFloats(n, 22);
    std::vector<float> out(n);
    k.rms_norm(x.data(), weight.data(), 1e-5f, n, out.data());
    double squares = 0;
    for (float v : x) squares += static_cast<double>(v) * v;
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (size_t i = 0; i < n; ++i) {
      const double want = x[i] * inverse * weight[i];
      ASSERT_NEAR(want, out[i], 1e-6 * std::fabs(want) + 1e-30) << "n " << n << " i " << i;
    }
  }
}

TEST(Accuracy, LayerNorm) {
  const Kernels& k = BestKernels();
  for (size_t n : OddSizes()) {
    auto x = RandomFloats(n, 21, 5.0f);
    const auto weight = RandomFloats(n, 22);
    for (float& v : x) v += 3.0f;
    std::vector<float> out(n);
    k.layer_norm(x.data(), weight.data(), 1e-5f, n, out.data());
    double mean = 0, squares = 0;
    for (float v : x) mean += v / static_cast<double>(n);
    for (float v : x) squares += (v - mean) * (v - mean);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (size_t i = 0; i < n; ++i)
      ASSERT_NEAR((x[i] - mean) * inverse * weight[i], out[i], 4e-6) << "n " << n << " i " << i;
  }
}

TEST(Accuracy, Softmax) {
  const Kernels& k = BestKernels();
  for (size_t n : OddSizes()) {
    for (float magnitude : {0.0f, 1.0f, 20.0f, 1000.0f}) {
      const auto x = RandomFloats(n, 23, magnitude);
      std::vector<float> out(n);
      k.softmax(x.data(), n, out.data());
      double max = x[0], sum = 0, total = 0;
      for (float v : x) max = std::max(max, static_cast<double>(v));
      for (float v : x) sum += std::exp(v - max);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(std::exp(x[i] - max) / sum, out[i], 1e-6) << n;
        total += out[i];
      }
      ASSERT_NEAR(1.0, total, 1e-5);
    }
  }
}

TEST(Accuracy, Rope) {
  const Kernels& k = BestKernels();
  for (size_t half : {4, 20, 32, 64}) {
    const auto head = RandomFloats(2 * half, 24), angles = RandomFloats(half, 25, 3.0f);
    std::vector<float> cos(half), sin(half);
    for (size_t i = 0; i < half; ++i) cos[i] = std::cos(angles[i]), sin[i] = std::sin(angles[i]);
    for (bool neox : {false, true}) {
      auto got = head;
      k.rope(got.data(), cos.data(), sin.data(), half, neox);
      for (size_t i = 0; i < half; ++i) {
        const size_t i0 = neox ? i : 2 * i, i1 = neox ? i + half : 2 * i + 1;
        const double x0 = head[i0], x1 = head[i1];
        ASSERT_NEAR(x0 * cos[i] - x1 * sin[i], got[i0], 1e-6);
        ASSERT_NEAR(x1 * cos[i] + x0 * sin[i], got[i1], 1e-6);
      }
    }
  }
}

TEST(Accuracy, ShortConv) {
  const auto window = RandomFloats(3 * 50, 26), weight = RandomFloats(3 * 50, 27);
  std::vector<float> out(50);
  BestKernels().short_conv(window.data(), weight.data(), 3, 50, out.data());
  for (size_t c = 0; c < 50; ++c) {
    double want = 0;
    for (size_t t = 0; t < 3; ++t)
      want += static_cast<double>(weight[c * 3 + t]) * window[t * 50 + c];
    ASSERT_NEAR(want, out[c], 1e-6);
  }
}

TEST(Accuracy, QuantizeRow) {
  const auto x = RandomFloats(576, 28, 2.0f);
  std::vector<int8_t> q(576);
  std::vector<float> scale(18), scaled_sum(18);
  std::vector<int32_t> half_sums(36);
  BestKernels().quantize_row(x.data(), 576, q.data(), scale.data(), scaled_sum.data(),
                             half_sums.data());
  for (size_t b = 0; b < 18; ++b) {
    float amax = 0;
    for (size_t i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[b * 32 + i]));
    ASSERT_EQ(amax / 127.0f, scale[b]);
    int sums[2] = {0, 0};
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(std::nearbyint(x[b * 32 + i] * (127.0f / amax)), q[b * 32 + i]);
      sums[i / 16] += q[b * 32 + i];
    }
    ASSERT_EQ(sums[0], half_sums[2 * b]);
    ASSERT_EQ(sums[1], half_sums[2 * b + 1]);
    ASSERT_EQ(scale[b] * static_cast<float>(sums[0] + sums[1]), scaled_sum[b]);
  }
}

TEST(Accuracy, QuantizeSuperRow) {
  auto x = RandomFloats(1536, 5);
  std::fill(x.begin() + 256, x.begin() + 512, 0.0f);
  std::vector<int8_t> q(1536);
  std::vector<float> scale(6);
  std::vector<int16_t> sums32(48), sums16(96);
  BestKernels().quantize_super_row(x.data(), 1536, q.data(), scale.data(), sums32.data(),
                                   sums16.data());
  std::vector<int> want32(48), want16(96);
  for (size_t i = 0; i < 1536; ++i) {
    float amax = 0;
    for (size_t j = i / 256 * 256; j < i / 256 * 256 + 256; ++j)
      amax = std::max(amax, std::fabs(x[j]));
    ASSERT_EQ(scale[i / 256], amax / 127.0f);
    ASSERT_NEAR(q[i] * scale[i / 256], x[i], 0.5001f * scale[i / 256]) << i;
    want32[i / 32] += q[i];
    want16[i / 16] += q[i];
  }
  for (size_t i = 0; i < 48; ++i) ASSERT_EQ(sums32[i], want32[i]) << i;
  for (size_t i = 0; i < 96; ++i) ASSERT_EQ(sums16[i], want16[i]) << i;
}

TEST(Accuracy, QuantizeRowMarksNaNAndInfinity) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(64, 1.0f);
    x[40] = bad;
    int8_t q[64];
    float scale[2], scaled_sum[2];
    int32_t half_sums[4];
    BestKernels().quantize_row(x.data(), 64, q, scale, scaled_sum, half_sums);
    EXPECT_EQ(1.0f / 127.0f, scale[0]);
    EXPECT_FALSE(std::isfinite(scale[1]));
    for (int8_t v : q) EXPECT_GE(v, -127);
  }
}

}  // namespace
}  // namespace lull
