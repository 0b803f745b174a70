// Writing and widening KV pages: the scalar table's bits on every instruction set, for every value
// a page can hold and every slot, and nothing beyond the token that is written.
#include <limits>

#include "base/f16.h"
#include "tests/kernels/isas.h"

namespace lull {
namespace {

constexpr KvType kTypes[] = {KvType::kF16, KvType::kBf16, KvType::kF32, KvType::kI8};

struct Page {
  std::vector<uint8_t> k, v;
  Page(KvType type, size_t head_dim, uint8_t fill)
      : k(KvHeadBytes(type, head_dim), fill), v(k.size(), fill) {}
  KvPage view() { return {k.data(), v.data()}; }
};

// Both zeros, subnormals of f16 and f32, what overflows f16, infinities, NaN, ties of rounding.
std::vector<float> HardValues(size_t n, uint32_t seed) {
  const float inf = std::numeric_limits<float>::infinity();
  const float special[] = {0.0f,
                           -0.0f,
                           1e-40f,
                           -6e-8f,
                           6.1e-5f,
                           65504.0f,
                           65520.0f,
                           -7e4f,
                           inf,
                           -inf,
                           3e38f,
                           1.00048828125f,
                           -1.0014648437f,
                           std::numeric_limits<float>::quiet_NaN()};
  std::vector<float> x = RandomFloats(n, seed, 3.0f);
  for (size_t i = 0; i < n; i += 3) x[i] = special[(i / 3 + seed) % std::size(special)];
  return x;
}

TEST(KvWrite, EveryIsaGivesTheScalarBitsInEverySlot) {
  for (const KvType type : kTypes) {
    for (const size_t head_dim : {16, 48, 64, 80, 112, 256}) {
      Page want(type, head_dim, 0x5a);
      for (const size_t slot : {0, 1, 7, 31, 62, 63}) {
        const uint32_t seed = static_cast<uint32_t>(slot);
        const auto k = HardValues(head_dim, seed), v = HardValues(head_dim, seed + 5);
        ScalarKernels().kv_write(type, want.view(), slot, k.data(), v.data(), head_dim);
      }
      for (const Kernels* kernels : MachineKernels()) {
        Page got(type, head_dim, 0x5a);
        for (const size_t slot : {0, 1, 7, 31, 62, 63}) {
          const uint32_t seed = static_cast<uint32_t>(slot);
          const auto k = HardValues(head_dim, seed), v = HardValues(head_dim, seed + 5);
          kernels->kv_write(type, got.view(), slot, k.data(), v.data(), head_dim);
        }
        SCOPED_TRACE(testing::Message() << "head_dim " << head_dim);
        ExpectSameBits(want.k, got.k, kernels->name);
        ExpectSameBits(want.v, got.v, kernels->name);
      }
    }
  }
}

// K lies [head_dim][64], V [64][head_dim]; values round to the nearest of the type.
TEST(KvWrite, PutsEachValueInItsPlace) {
  const size_t head_dim = 48, slot = 37;
  const auto k = RandomFloats(head_dim, 1), v = RandomFloats(head_dim, 2);
  for (const Kernels* kernels : MachineKernels()) {
    Page page(KvType::kF16, head_dim, 0);
    kernels->kv_write(KvType::kF16, page.view(), slot, k.data(), v.data(), head_dim);
    std::vector<uint16_t> want_k(kPageTokens * head_dim), want_v(want_k.size());
    for (size_t d = 0; d < head_dim; ++d) {
      want_k[d * kPageTokens + slot] = F32ToF16(k[d]);
      want_v[ValueOffset(head_dim, slot, d)] = F32ToF16(v[d]);
    }
    EXPECT_EQ(0, memcmp(want_k.data(), page.k.data(), page.k.size())) << kernels->name;
    EXPECT_EQ(0, memcmp(want_v.data(), page.v.data(), page.v.size())) << kernels->name;
  }
}

// Every 16-bit pattern, by the plain conversions of base/f16.h.
TEST(KvWiden, GivesEveryPatternItsValue) {
  for (const KvType type : {KvType::kF16, KvType::kBf16}) {
    for (const size_t head_dim : {16, 80, 256}) {
      const size_t values = kPageTokens * head_dim;
      for (size_t first = 0; first < 65536; first += 2 * values) {
        std::vector<uint16_t> k(values), v(values);
        std::vector<float> want_k(values), want_v(values);
        const auto widen = [type](uint16_t x) {
          return type == KvType::kF16 ? F16ToF32(x) : Bf16ToF32(x);
        };
        for (size_t i = 0; i < values; ++i) {
          k[i] = static_cast<uint16_t>(first + i);
          v[i] = static_cast<uint16_t>(first + values + i);
          want_k[i] = widen(k[i]);
          want_v[i] = widen(v[i]);
        }
        for (const Kernels* kernels : MachineKernels()) {
          std::vector<float> got_k(values), got_v(values);
          kernels->kv_widen(type, {k.data(), v.data()}, head_dim, got_k.data(), got_v.data());
          for (size_t i = 0; i < values; ++i) {
            const bool nan_k = std::isnan(want_k[i]), nan_v = std::isnan(want_v[i]);
            ASSERT_TRUE(nan_k ? std::isnan(got_k[i]) : !memcmp(&want_k[i], &got_k[i], 4))
                << kernels->name << " pattern " << k[i];
            ASSERT_TRUE(nan_v ? std::isnan(got_v[i]) : !memcmp(&want_v[i], &got_v[i], 4))
                << kernels->name << " pattern " << v[i];
          }
        }
      }
    }
  }
}

// Every byte by every scale, for blocks of 32 and a last one of 16: one exact product.
TEST(KvWiden, GivesEveryInt8ItsValue) {
  for (const size_t head_dim : {16, 80, 256}) {
    for (size_t first = 0; first < 65536; first += 4111) {
      Page page(KvType::kI8, head_dim, 0);
      const size_t values = kPageTokens * head_dim, blocks = (head_dim + 31) / 32;
      std::vector<uint16_t> scales(2 * kPageTokens * blocks);
      for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint16_t>(first + 7 * i);
      for (size_t i = 0; i < values; ++i) {
        page.k[i] = static_cast<uint8_t>(3 * i + first);
        page.v[i] = static_cast<uint8_t>(5 * i + first);
      }
      memcpy(page.k.data() + values, scales.data(), scales.size());
      memcpy(page.v.data() + values, &scales[scales.size() / 2], scales.size());
      for (const Kernels* kernels : MachineKernels()) {
        std::vector<float> k(values), v(values);
        kernels->kv_widen(KvType::kI8, page.view(), head_dim, k.data(), v.data());
        for (size_t d = 0; d < head_dim; ++d) {
          for (size_t slot = 0; slot < kPageTokens; ++slot) {
            const size_t scale = d / 32 * kPageTokens + slot;
            const auto value = [](uint8_t byte, uint16_t bits) {
              return static_cast<float>(static_cast<int8_t>(byte)) * F16ToF32(bits);
            };
            const float want_k = value(page.k[d * kPageTokens + slot], scales[scale]);
            const size_t v_at = ValueOffset(head_dim, slot, d);
            const float want_v = value(page.v[v_at], scales[scales.size() / 2 + scale]);
            const float got_k = k[d * kPageTokens + slot], got_v = v[v_at];
            ASSERT_TRUE(std::isnan(want_k) ? std::isnan(got_k) : !memcmp(&want_k, &got_k, 4))
                << kernels->name << " dimension " << d << " slot " << slot;
            ASSERT_TRUE(std::isnan(want_v) ? std::isnan(got_v) : !memcmp(&want_v, &got_v, 4))
                << kernels->name << " dimension " << d << " slot " << slot;
          }
        }
      }
    }
  }
}

// Half a step of the block's scale, and no value beyond 127 steps, down to what f16 scales reach.
TEST(KvWrite, Int8IsHalfAStepOff) {
  for (const size_t head_dim : {16, 64, 80}) {
    for (const float magnitude : {3e4f, 1.0f, 1e-3f, 1e-5f, 4e-6f, 1e-7f, 0.0f}) {
      const auto k = RandomFloats(head_dim, 3, magnitude), v = RandomFloats(head_dim, 4, magnitude);
      for (const Kernels* kernels : MachineKernels()) {
        Page page(KvType::kI8, head_dim, 0);
        kernels->kv_write(KvType::kI8, page.view(), 9, k.data(), v.data(), head_dim);
        std::vector<float> got_k(kPageTokens * head_dim), got_v(got_k.size());
        kernels->kv_widen(KvType::kI8, page.view(), head_dim, got_k.data(), got_v.data());
        const auto check = [&](const std::vector<float>& x, size_t d, float got) {
          float amax = 0;
          for (size_t i = d / 32 * 32; i < std::min(head_dim, d / 32 * 32 + 32); ++i)
            amax = std::max(amax, std::fabs(x[i]));
          // A scale is off by half of its last bit, 2^-25 below f16's normal range.
          EXPECT_LE(std::fabs(got - x[d]), amax / 127 * 0.502f + 127 * 0x1p-25f)
              << kernels->name << " " << x[d];
        };
        for (size_t d = 0; d < head_dim; ++d) {
          check(k, d, got_k[d * kPageTokens + 9]);
          check(v, d, got_v[ValueOffset(head_dim, 9, d)]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lull
