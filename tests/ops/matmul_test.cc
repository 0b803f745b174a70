#include "ops/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "ops/matmul_observer.h"
#include "quant/quant_format.h"
#include "tests/support/random_weights.h"

namespace lull {
namespace {

// A packed matrix with its memory.
struct Owned {
  PackedMatrix w;
  os::Memory memory;
};

Owned RandomMatrix(const char* name, size_t rows, size_t k, uint64_t seed) {
  Owned m;
  m.w.format = FindQuantFormatByName(name);
  m.w.rows = rows;
  m.w.k = k;
  m.w.group_bytes = m.w.format->GroupBytes(k);
  m.memory = os::Memory::Allocate(m.w.packed_bytes()).value();
  const size_t row_bytes = k / m.w.format->block_k * m.w.format->file_block_bytes;
  std::vector<uint8_t> file(rows * row_bytes);
  RandomRows(m.w.format->gguf_type_id, k, 0.1f, seed)(0, rows, file.data());
  for (size_t g = 0; g < m.w.groups(); ++g)
    m.w.format->repack_group(file.data() + g * 16 * row_bytes, std::min<size_t>(16, rows - 16 * g),
                             k, m.memory.data() + g * m.w.group_bytes);
  m.w.data = m.memory.data();
  return m;
}

class MatMulTest : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr size_t kRows = 45, kK = 256;
  MatMulTest()
      : a_(RandomMatrix(GetParam(), 200, kK, 1)),
        b_(RandomMatrix(GetParam(), 64, kK, 2)),
        c_(RandomMatrix(GetParam(), 64, kK, 3)) {
    ArenaPlan plan;
    x_.AddTo(&plan, kRows, kK);
    out_.AddTo(&plan, kRows, 64);
    memory_ = plan.Allocate().value();
    x_.k = kK;
    x_.rows = kRows;
    TestRandom random(7);
    for (size_t i = 0; i < kRows * kK; ++i) x_.f32[i] = random.Uniform(-2, 2);
    x_.SetReaders({&a_.w});
    for (size_t r = 0; r < kRows; ++r) x_.QuantizeRow(BestKernels(), r);
  }
  ThreadScratch::Sizes Sizes() const {
    ThreadScratch::Sizes sizes;
    sizes.matmul_bytes = BestKernels().matmul_scratch_bytes(a_.w);
    return sizes;
  }
  Owned a_, b_, c_;
  ActivationBuffer x_, out_;
  os::Memory memory_;
};

TEST_P(MatMulTest, SameBitsForAnyThreadsAndRows) {
  std::vector<float> want(kRows * 264);
  for (int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ExecContext ctx;
    ctx.pool = &pool;
    ThreadScratch scratch(Sizes());
    ASSERT_TRUE(scratch.Ensure(threads).ok());
    TilePlan plan;
    OpEnv env{BestKernels(), scratch, plan};
    std::vector<float> got(kRows * 264, -1.0f);
    if (threads == 1) {  // row by row
      for (size_t r = 0; r < kRows; ++r) {
        const MatMulItem items[] = {{&a_.w, &x_, r, r + 1, got.data(), 264},
                                    {&b_.w, &x_, r, r + 1, got.data() + 200, 264}};
        MatMul(ctx, env, items);
      }
      want = got;
      continue;
    }
    const MatMulItem items[] = {{&a_.w, &x_, 0, kRows, got.data(), 264},
                                {&b_.w, &x_, 0, kRows, got.data() + 200, 264}};
    MatMul(ctx, env, items);
    EXPECT_EQ(memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  }
  // Against the definition, in double, on the dequantised values.
  std::vector<float> w(kK);
  for (size_t row : {size_t{0}, size_t{17}, size_t{199}}) {
    a_.w.format->dequantize_row(a_.w.data + row / 16 * a_.w.group_bytes, row % 16, kK, w.data());
    double sum = 0, norm = 0;
    for (size_t i = 0; i < kK; ++i) sum += static_cast<double>(w[i]) * x_.f32[3 * kK + i];
    for (size_t i = 0; i < kK; ++i)
      norm += std::abs(static_cast<double>(w[i]) * x_.f32[3 * kK + i]);
    EXPECT_NEAR(want[3 * 264 + row], sum, 0.01 * norm);
  }
}

TEST_P(MatMulTest, GatedEqualsItsParts) {
  const Kernels& kernels = BestKernels();
  ThreadPool pool(2);
  ExecContext ctx;
  ctx.pool = &pool;
  ThreadScratch scratch(Sizes());
  ASSERT_TRUE(scratch.Ensure(2).ok());
  TilePlan plan;
  OpEnv env{kernels, scratch, plan};
  std::vector<float> gate(kRows * 64), up(kRows * 64), want(64);
  const MatMulItem items[] = {{&b_.w, &x_, 0, kRows, gate.data(), 64},
                              {&c_.w, &x_, 0, kRows, up.data(), 64}};
  MatMul(ctx, env, items);
  out_.k = 64;
  out_.rows = kRows;
  const GatedItem gated{&b_.w, &c_.w, &x_, 0, kRows};
  GatedMatMul(ctx, env, {&gated, 1}, kernels.swiglu, &out_);
  for (size_t r = 0; r < kRows; ++r) {
    kernels.swiglu(gate.data() + r * 64, up.data() + r * 64, 64, want.data());
    EXPECT_EQ(memcmp(want.data(), out_.Row(r), 64 * sizeof(float)), 0) << r;
    int8_t q[64];
    float scale[2], scaled_sum[2];
    int32_t half_sums[4];
    kernels.quantize_row(want.data(), 64, q, scale, scaled_sum, half_sums);
    EXPECT_EQ(memcmp(q, out_.q + r * 64, 64), 0);
    EXPECT_EQ(memcmp(scale, out_.scale + r * 2, sizeof(scale)), 0);
    EXPECT_EQ(memcmp(scaled_sum, out_.scaled_sum + r * 2, sizeof(scaled_sum)), 0);
    EXPECT_EQ(memcmp(half_sums, out_.half_sums + r * 4, sizeof(half_sums)), 0);
  }
}

// A super-block spans the tiles that its values come from.
TEST_P(MatMulTest, AnObserverIsToldOfEveryProductInOrder) {
  struct Recorder : MatMulObserver {
    struct Seen {
      const uint8_t* w;
      const float* x;
      size_t begin, end;
      bool operator==(const Seen&) const = default;
    };
    void Observe(const ExecContext&, const PackedMatrix& w, const ActivationBuffer& x, size_t begin,
                 size_t end) override {
      seen.push_back({w.data, x.f32, begin, end});
    }
    std::vector<Seen> seen;
  };
  Recorder recorder;
  ThreadScratch scratch(Sizes());
  ASSERT_TRUE(scratch.Ensure(1).ok());
  TilePlan plan;
  OpEnv env{BestKernels(), scratch, plan, {}, &recorder};
  std::vector<float> out(kRows * 264);
  const MatMulItem items[] = {{&a_.w, &x_, 0, 5, out.data(), 264},
                              {&b_.w, &x_, 2, kRows, out.data() + 200, 264}};
  MatMul({}, env, items);
  out_.k = 64;
  out_.rows = kRows;
  const GatedItem gated{&b_.w, &c_.w, &x_, 1, 9};
  GatedMatMul({}, env, {&gated, 1}, BestKernels().swiglu, &out_);
  const std::vector<Recorder::Seen> want = {{a_.w.data, x_.f32, 0, 5},
                                            {b_.w.data, x_.f32, 2, kRows},
                                            {b_.w.data, x_.f32, 1, 9},
                                            {c_.w.data, x_.f32, 1, 9}};
  EXPECT_EQ(recorder.seen, want);
}

TEST(GatedMatMulTest, QuantisesToEveryFormThatIsRead) {
  constexpr size_t kRows = 9, kK = 256, kN = 512;
  const Owned gate = RandomMatrix("Q8_0", kN, kK, 4), up = RandomMatrix("Q4_1", kN, kK, 5);
  const Owned blocks = RandomMatrix("Q4_0", 16, kN, 6), super = RandomMatrix("Q4_K", 16, kN, 7);
  const Kernels& kernels = BestKernels();
  ActivationBuffer x, out;
  ArenaPlan arena;
  x.AddTo(&arena, kRows, kK);
  out.AddTo(&arena, kRows, kN);
  const os::Memory memory = arena.Allocate().value();
  x.k = kK;
  out.k = kN;
  x.rows = out.rows = kRows;
  TestRandom random(8);
  for (size_t i = 0; i < kRows * kK; ++i) x.f32[i] = random.Uniform(-2, 2);
  for (size_t r = 0; r < kRows; ++r) x.QuantizeRow(kernels, r);
  out.wide_blocks = true;
  out.SetReaders({&blocks.w, &super.w});
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    ExecContext ctx;
    ctx.pool = &pool;
    ThreadScratch::Sizes sizes;
    sizes.matmul_bytes = kernels.matmul_scratch_bytes(gate.w);
    ThreadScratch scratch(sizes);
    ASSERT_TRUE(scratch.Ensure(threads).ok());
    TilePlan plan;
    OpEnv env{kernels, scratch, plan};
    const GatedItem item{&gate.w, &up.w, &x, 0, kRows};
    GatedMatMul(ctx, env, {&item, 1}, kernels.swiglu, &out);
    std::vector<int8_t> q(kN), super_q(kN);
    std::vector<float> scale(kN / 32), scaled_sum(kN / 32), super_scale(kN / 256);
    std::vector<int32_t> half_sums(kN / 16);
    std::vector<int16_t> sums32(kN / 32), sums16(kN / 16);
    for (size_t r = 0; r < kRows; ++r) {
      kernels.quantize_row(out.Row(r), kN, q.data(), scale.data(), scaled_sum.data(),
                           half_sums.data());
      kernels.quantize_super_row(out.Row(r), kN, super_q.data(), super_scale.data(), sums32.data(),
                                 sums16.data());
      EXPECT_EQ(memcmp(q.data(), out.q + r * kN, kN), 0) << r;
      EXPECT_EQ(memcmp(super_q.data(), out.super_q + r * kN, kN), 0) << r;
      EXPECT_EQ(memcmp(super_scale.data(), out.super_scale + r * kN / 256, kN / 256 * 4), 0) << r;
      EXPECT_EQ(memcmp(sums32.data(), out.sums32 + r * kN / 32, kN / 32 * 2), 0) << r;
      EXPECT_EQ(memcmp(sums16.data(), out.sums16 + r * kN / 16, kN / 16 * 2), 0) << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatMulTest,
                         ::testing::Values("F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K",
                                           "Q6_K"));

}  // namespace
}  // namespace lull
