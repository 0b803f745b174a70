// Every kernel gives the bits of the scalar table on every instruction set of this machine, for
// sizes on and off the vector width, and writes nothing beyond its output.
#include <limits>

#include "tests/kernels/isas.h"

namespace lull {
namespace {

constexpr float kGuard = 12345.0f;

// Mixed magnitudes, both zeros, subnormals, huge values.
std::vector<float> HardFloats(size_t n, uint32_t seed) {
  std::vector<float> x = RandomFloats(n, seed, 3.0f);
  for (size_t i = 0; i < n; ++i) {
    if (i % 11 == 3) x[i] *= 30.0f;
    if (i % 29 == 5) x[i] = 0.0f;
    if (i % 31 == 7) x[i] = -0.0f;
    if (i % 37 == 11) x[i] = 1e-40f;
    if (i % 41 == 13) x[i] *= 1e12f;
  }
  return x;
}

// Calls run(kernels, out) with n + 16 floats of guard values and compares.
template <typename Run>
void CompareFloats(size_t n, const Run& run) {
  std::vector<float> want(n + 16, kGuard);
  run(ScalarKernels(), want.data());
  for (size_t i = n; i < n + 16; ++i) ASSERT_EQ(kGuard, want[i]) << "scalar wrote past " << n;
  for (const Kernels* kernels : MachineKernels()) {
    std::vector<float> got(n + 16, kGuard);
    run(*kernels, got.data());
    SCOPED_TRACE(testing::Message() << "n " << n);
    ExpectSameBits(want, got, kernels->name);
  }
}

TEST(IsaEquality, Elementwise) {
  for (size_t n : OddSizes()) {
    const auto a = HardFloats(n, 1), b = HardFloats(n, 2);
    CompareFloats(n, [&](const Kernels& k, float* out) { k.add(a.data(), b.data(), n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) { k.mul_scalar(a.data(), 0.3f, n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) {
      memcpy(out, b.data(), n * 4);
      k.fma_scalar(a.data(), 1.7f, n, out);
    });
  }
}

TEST(IsaEquality, Activations) {
  for (size_t n : OddSizes()) {
    const auto a = HardFloats(n, 3), b = HardFloats(n, 4);
    CompareFloats(n, [&](const Kernels& k, float* out) { k.swiglu(a.data(), b.data(), n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) { k.geglu(a.data(), b.data(), n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) { k.sigmoid(a.data(), n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) { k.soft_cap(a.data(), 30.0f, n, out); });
  }
}

TEST(IsaEquality, NormAndSoftmax) {
  for (size_t n : OddSizes()) {
    const auto x = HardFloats(n, 5), weight = RandomFloats(n, 6);
    CompareFloats(n, [&](const Kernels& k, float* out) {
      k.rms_norm(x.data(), weight.data(), 1e-5f, n, out);
    });
    CompareFloats(
        n, [&](const Kernels& k, float* out) { k.rms_norm(x.data(), nullptr, 1e-6f, n, out); });
    CompareFloats(n, [&](const Kernels& k, float* out) {
      k.layer_norm(x.data(), weight.data(), 1e-5f, n, out);
    });
    CompareFloats(n, [&](const Kernels& k, float* out) { k.softmax(x.data(), n, out); });
    const auto mild = RandomFloats(n, 7, 4.0f);
    CompareFloats(n, [&](const Kernels& k, float* out) { k.softmax(mild.data(), n, out); });
  }
}

TEST(IsaEquality, InPlace) {
  for (size_t n : {size_t{5}, size_t{33}, size_t{576}}) {
    const auto x = RandomFloats(n, 8), weight = RandomFloats(n, 9);
    for (const Kernels* k : MachineKernels()) {
      std::vector<float> apart(n), same = x;
      k->rms_norm(x.data(), weight.data(), 1e-5f, n, apart.data());
      k->rms_norm(same.data(), weight.data(), 1e-5f, n, same.data());
      ExpectSameBits(apart, same, k->name);
      same = x;
      k->layer_norm(x.data(), weight.data(), 1e-5f, n, apart.data());
      k->layer_norm(same.data(), weight.data(), 1e-5f, n, same.data());
      ExpectSameBits(apart, same, k->name);
      same = x;
      k->softmax(x.data(), n, apart.data());
      k->softmax(same.data(), n, same.data());
      ExpectSameBits(apart, same, k->name);
      same = x;
      k->swiglu(x.data(), weight.data(), n, apart.data());
      k->swiglu(same.data(), weight.data(), n, same.data());
      ExpectSameBits(apart, same, k->name);
    }
  }
}

TEST(IsaEquality, Rope) {
  for (size_t half : {1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 40, 48, 64, 65, 128}) {
    const auto head = RandomFloats(2 * half, 10), angles = RandomFloats(half, 11, 2.0f);
    std::vector<float> cos(half), sin(half);
    for (size_t i = 0; i < half; ++i) cos[i] = std::cos(angles[i]), sin[i] = std::sin(angles[i]);
    for (bool neox : {false, true}) {
      CompareFloats(2 * half, [&](const Kernels& k, float* out) {
        memcpy(out, head.data(), head.size() * 4);
        k.rope(out, cos.data(), sin.data(), half, neox);
      });
    }
  }
}

TEST(IsaEquality, ShortConv) {
  for (size_t n : OddSizes()) {
    for (size_t taps : {1, 3, 4}) {
      const auto window = RandomFloats(n * taps, 12), weight = RandomFloats(n * taps, 13);
      CompareFloats(n, [&](const Kernels& k, float* out) {
        k.short_conv(window.data(), weight.data(), taps, n, out);
      });
    }
  }
}

struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scale, scaled_sum;
  std::vector<int32_t> half_sums;
};

Quantized Quantize(const Kernels& kernels, const std::vector<float>& x) {
  const size_t k = x.size();
  Quantized r{std::vector<int8_t>(k), std::vector<float>(k / 32), std::vector<float>(k / 32),
              std::vector<int32_t>(k / 16)};
  kernels.quantize_row(x.data(), k, r.q.data(), r.scale.data(), r.scaled_sum.data(),
                       r.half_sums.data());
  return r;
}

TEST(IsaEquality, QuantizeRow) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t k : {32, 64, 96, 160, 256, 512, 576, 1536}) {
    for (uint32_t seed = 0; seed < 200; ++seed) {
      auto x = seed % 2 ? HardFloats(k, seed) : RandomFloats(k, seed);
      if (seed % 10 == 0) x[seed % k] = inf;
      if (seed % 10 == 3) x[seed % k] = -nan;
      if (seed % 10 == 4) std::fill(x.begin(), x.end(), 0.0f);
      if (seed % 10 == 6) std::fill(x.begin(), x.end(), 3e-39f);
      if (seed % 10 == 8)
        for (size_t i = 0; i < k; ++i) x[i] = static_cast<float>(i % 32) * 0.5f + 111.5f;
      const Quantized want = Quantize(ScalarKernels(), x);
      for (const Kernels* kernels : MachineKernels()) {
        const Quantized got = Quantize(*kernels, x);
        ExpectSameBits(want.q, got.q, kernels->name);
        ExpectSameBits(want.scale, got.scale, kernels->name);
        ExpectSameBits(want.scaled_sum, got.scaled_sum, kernels->name);
        ExpectSameBits(want.half_sums, got.half_sums, kernels->name);
      }
    }
  }
}

struct SuperQuantized {
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int16_t> sums32, sums16;
};

SuperQuantized QuantizeSuper(const Kernels& kernels, const std::vector<float>& x) {
  const size_t k = x.size();
  SuperQuantized r{std::vector<int8_t>(k), std::vector<float>(k / 256),
                   std::vector<int16_t>(k / 32), std::vector<int16_t>(k / 16)};
  kernels.quantize_super_row(x.data(), k, r.q.data(), r.scale.data(), r.sums32.data(),
                             r.sums16.data());
  return r;
}

TEST(IsaEquality, QuantizeSuperRow) {
  for (size_t k : {256, 512, 1536}) {
    for (uint32_t seed = 0; seed < 200; ++seed) {
      auto x = seed % 2 ? HardFloats(k, seed) : RandomFloats(k, seed);
      if (seed % 10 == 0) x[seed % k] = std::numeric_limits<float>::infinity();
      if (seed % 10 == 3) x[seed % k] = -std::numeric_limits<float>::quiet_NaN();
      if (seed % 10 == 4) std::fill(x.begin(), x.end(), 0.0f);
      if (seed % 10 == 6) std::fill(x.begin(), x.end(), 3e-39f);
      const SuperQuantized want = QuantizeSuper(ScalarKernels(), x);
      for (const Kernels* kernels : MachineKernels()) {
        const SuperQuantized got = QuantizeSuper(*kernels, x);
        ExpectSameBits(want.q, got.q, kernels->name);
        ExpectSameBits(want.scale, got.scale, kernels->name);
        ExpectSameBits(want.sums32, got.sums32, kernels->name);
        ExpectSameBits(want.sums16, got.sums16, kernels->name);
      }
    }
  }
}

TEST(IsaEquality, ArgMax) {
  std::mt19937 rng(3);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t n : {1, 5, 16, 17, 63, 64, 65, 1023, 1024, 1025, 3000, 49152}) {
    for (int round = 0; round < 30; ++round) {
      std::vector<float> x(n);
      for (float& v : x) v = static_cast<float>(static_cast<int>(rng() % 50)) - 25.0f;  // many ties
      for (size_t i = 0; i < n / 8; ++i) x[rng() % n] = nan;
      size_t want = 0;
      bool found = false;
      for (size_t i = 0; i < n; ++i) {
        if (std::isnan(x[i])) continue;
        if (!found || x[i] > x[want]) want = i;
        found = true;
      }
      for (const Kernels* kernels : MachineKernels())
        ASSERT_EQ(want, kernels->argmax(x.data(), n)) << kernels->name << " n " << n;
    }
  }
}

TEST(IsaEquality, ArgMaxEdges) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Kernels* kernels : MachineKernels()) {
    EXPECT_EQ(0u, kernels->argmax(std::vector<float>(5000, nan).data(), 5000));
    EXPECT_EQ(0u, kernels->argmax(std::vector<float>(5000, -inf).data(), 5000));
    std::vector<float> late(5000, nan);
    late[4097] = -inf;
    EXPECT_EQ(4097u, kernels->argmax(late.data(), 5000));
    EXPECT_EQ(0u, kernels->argmax(std::vector<float>{-0.0f, 0.0f}.data(), 2));
  }
}

}  // namespace
}  // namespace lull
