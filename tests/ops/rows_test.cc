// The row-wise ops against the same steps taken one by one with the scalar kernels: norms,
// quantisation, embedding rows, rotation and KV writes. Equal bits for odd shapes, any threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "ops/activations.h"
#include "ops/attention.h"
#include "ops/embedding.h"
#include "quant/quant_format.h"
#include "tests/support/random_weights.h"

namespace lull {
namespace {

const Kernels& Scalar() { return **FindKernels("scalar"); }

std::vector<float> RandomValues(size_t n, uint64_t seed) {
  TestRandom random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = random.Uniform(-3, 3);
  return x;
}

void ExpectSame(const float* want, const float* got, size_t n, const std::string& what) {
  for (size_t i = 0; i < n; ++i)
    ASSERT_EQ(memcmp(want + i, got + i, sizeof(float)), 0) << what << " value " << i;
}

// Threads with everything the ops ask for.
struct World {
  explicit World(int threads, size_t row = 0) : pool(threads), scratch(Sizes(row)) {
    ctx.pool = &pool;
    EXPECT_TRUE(scratch.Ensure(threads).ok());
  }
  static ThreadScratch::Sizes Sizes(size_t row) {
    ThreadScratch::Sizes sizes;
    sizes.row = row;
    return sizes;
  }
  ThreadPool pool;
  ExecContext ctx;
  ThreadScratch scratch;
  TilePlan plan;
  OpEnv env{BestKernels(), scratch, plan};
};

// An activation buffer with its memory.
struct Buffer {
  Buffer(size_t rows, size_t k) {
    ArenaPlan plan;
    x.AddTo(&plan, rows, k);
    memory = plan.Allocate().value();
  }
  ActivationBuffer x;
  os::Memory memory;
};

void ExpectQuantised(const float* row, const ActivationBuffer& got, size_t r,
                     const std::string& what) {
  const size_t k = got.k;
  std::vector<int8_t> q(k);
  std::vector<float> scale(k / 32), sum(k / 32);
  std::vector<int32_t> halves(k / 16);
  Scalar().quantize_row(row, k, q.data(), scale.data(), sum.data(), halves.data());
  ExpectSame(row, got.f32 + r * k, k, what);
  EXPECT_EQ(memcmp(q.data(), got.q + r * k, k), 0) << what;
  ExpectSame(scale.data(), got.scale + r * (k / 32), k / 32, what);
  ExpectSame(sum.data(), got.scaled_sum + r * (k / 32), k / 32, what);
  EXPECT_EQ(memcmp(halves.data(), got.half_sums + r * (k / 16), k / 16 * 4), 0) << what;
}

TEST(RowOps, ResidualNormIsItsSteps) {
  constexpr float kEps = 1e-5f;
  for (const size_t n : {32, 96, 608}) {
    const auto norm = RandomValues(n, 1), bias = RandomValues(n, 2),
               delta_norm = RandomValues(n, 3);
    for (const size_t rows : {1, 3, 37}) {
      const auto delta = RandomValues(rows * n, 4), start = RandomValues(rows * n, 5);
      for (int parts = 0; parts < 8; ++parts) {  // which of delta, bias and delta_norm there are
        const bool with_delta = parts & 1, with_bias = parts == 3, with_norm = parts == 5;
        if (!with_delta && parts != 0) continue;
        for (const int threads : {1, 2, 3}) {
          const std::string what = "n " + std::to_string(n) + " rows " + std::to_string(rows) +
                                   " parts " + std::to_string(parts);
          World world(threads, n);
          Buffer out(rows, n);
          std::vector<float> x = start, want = start;
          ResidualNorm(world.ctx, world.env,
                       {x.data(), rows, n, with_delta ? delta.data() : nullptr,
                        with_bias ? bias.data() : nullptr, with_norm ? delta_norm.data() : nullptr,
                        norm.data(), kEps, &out.x});
          std::vector<float> step(n), normed(n);
          for (size_t r = 0; r < rows; ++r) {
            float* row = want.data() + r * n;
            step.assign(delta.begin() + static_cast<ptrdiff_t>(r * n),
                        delta.begin() + static_cast<ptrdiff_t>((r + 1) * n));
            if (with_bias) Scalar().add(step.data(), bias.data(), n, step.data());
            if (with_norm) Scalar().rms_norm(step.data(), delta_norm.data(), kEps, n, step.data());
            if (with_delta) Scalar().add(row, step.data(), n, row);
            Scalar().rms_norm(row, norm.data(), kEps, n, normed.data());
            ExpectQuantised(normed.data(), out.x, r, what);
          }
          ExpectSame(want.data(), x.data(), rows * n, what);
        }
      }
    }
  }
}

TEST(RowOps, GatherNormTakesTheRowsAskedFor) {
  constexpr size_t kN = 96, kRows = 7;
  const auto x = RandomValues(kRows * kN, 6), norm = RandomValues(kN, 7);
  const std::vector<int32_t> source = {6, 0, 0, 3, 6, 5, 1, 2, 2, 4, 0};
  for (const int threads : {1, 2, 3}) {
    World world(threads);
    Buffer out(source.size(), kN);
    GatherNorm(world.ctx, world.env, x.data(), kN, source.data(), source.size(), norm.data(), 1e-6f,
               &out.x);
    ASSERT_EQ(out.x.rows, source.size());
    std::vector<float> normed(kN);
    for (size_t i = 0; i < source.size(); ++i) {
      Scalar().rms_norm(x.data() + static_cast<size_t>(source[i]) * kN, norm.data(), 1e-6f, kN,
                        normed.data());
      ExpectQuantised(normed.data(), out.x, i, std::to_string(i));
    }
  }
}

TEST(RowOps, QuantizeRowsAndCopyRow) {
  for (const size_t k : {32, 160, 1536}) {
    for (const size_t rows : {1, 5, 33}) {
      const auto x = RandomValues(rows * k, 8);
      for (const int threads : {1, 2, 3}) {
        World world(threads);
        Buffer buffer(rows, k), copy(2, k);
        buffer.x.rows = rows;
        buffer.x.k = copy.x.k = k;
        memcpy(buffer.x.f32, x.data(), rows * k * sizeof(float));
        QuantizeRows(world.ctx, world.env, &buffer.x);
        for (size_t r = 0; r < rows; ++r)
          ExpectQuantised(x.data() + r * k, buffer.x, r, std::to_string(k));
        copy.x.CopyRow(buffer.x, rows - 1, 1);
        ExpectQuantised(x.data() + (rows - 1) * k, copy.x, 1, "copy");
      }
    }
  }
}

TEST(RowOps, EmbedTokensDequantisesAndScales) {
  constexpr size_t kVocab = 53, kK = 512;
  for (const char* name : {"F32", "F16", "Q4_1", "Q8_0", "Q4_K", "Q6_K"}) {
    const QuantFormat& format = *FindQuantFormatByName(name);
    PackedMatrix w{&format, kVocab, kK, format.GroupBytes(kK), nullptr};
    const size_t row_bytes = kK / format.block_k * format.file_block_bytes;
    std::vector<uint8_t> file(kVocab * row_bytes);
    RandomRows(format.gguf_type_id, kK, 0.1f, 9)(0, kVocab, file.data());
    const os::Memory memory = os::Memory::Allocate(w.packed_bytes()).value();
    for (size_t g = 0; g < w.groups(); ++g)
      format.repack_group(file.data() + g * 16 * row_bytes, std::min<size_t>(16, kVocab - 16 * g),
                          kK, memory.data() + g * w.group_bytes);
    w.data = memory.data();
    const std::vector<int32_t> tokens = {0, 52, 15, 16, 31, 48, 1, 52, 52, 7, 33, 47, 2};
    for (const float scale : {1.0f, 25.3f}) {
      for (const int threads : {1, 2, 3}) {
        World world(threads);
        std::vector<float> got(tokens.size() * kK), want(kK);
        EmbedTokens(world.ctx, world.env, w, tokens, scale, got.data());
        for (size_t i = 0; i < tokens.size(); ++i) {
          const auto row = static_cast<size_t>(tokens[i]);
          format.dequantize_row(w.data + row / 16 * w.group_bytes, row % 16, kK, want.data());
          if (scale != 1.0f) Scalar().mul_scalar(want.data(), scale, kK, want.data());
          ExpectSame(want.data(), got.data() + i * kK, kK, name);
        }
      }
    }
  }
}

// The pages of one sequence, all bytes the same before.
struct Pages {
  Pages(KvType type, const HeadShape& shape, size_t count) {
    view.type = type;
    view.head_bytes = KvHeadBytes(type, shape.head_dim);
    view.page_bytes = 2 * shape.num_kv_heads * view.head_bytes;
    bytes.assign(count * view.page_bytes, 0x3c);
    view.base = bytes.data();
    for (size_t i = 0; i < count; ++i) table.push_back(static_cast<int32_t>(count - 1 - i));
  }
  KvView view;
  std::vector<uint8_t> bytes;
  std::vector<int32_t> table;
};

struct RotateCase {
  bool bias, norm, neox;
  size_t half;
};

void ExpectRotated(const RotateCase& c, const HeadShape& shape, KvType type, size_t rows,
                   int threads) {
  const size_t dim = shape.head_dim, q_dim = shape.num_heads * dim,
               kv_dim = shape.num_kv_heads * dim;
  const auto q_bias = RandomValues(q_dim, 1), k_bias = RandomValues(kv_dim, 2),
             v_bias = RandomValues(kv_dim, 3), q_norm = RandomValues(dim, 4),
             k_norm = RandomValues(dim, 5), angles = RandomValues(rows * c.half, 6);
  std::vector<float> cos(angles.size()), sin(angles.size());
  for (size_t i = 0; i < angles.size(); ++i) {
    cos[i] = std::cos(angles[i]);
    sin[i] = std::sin(angles[i]);
  }
  auto q = RandomValues(rows * q_dim, 7), k = RandomValues(rows * kv_dim, 8),
       v = RandomValues(rows * kv_dim, 9);
  auto want_q = q, want_k = k, want_v = v;
  Pages got(type, shape, 3), want(type, shape, 3);
  constexpr int64_t kFirst = 60;  // over a page's end
  std::vector<RowPlace> places;
  for (size_t r = 0; r < rows; ++r)
    places.push_back({got.table.data(), 0, kFirst + static_cast<int64_t>(r)});
  RotateStoreArgs args;
  args.shape = shape;
  args.q = q.data();
  args.k = k.data();
  args.v = v.data();
  if (c.bias) {
    args.q_bias = q_bias.data();
    args.k_bias = k_bias.data();
    args.v_bias = v_bias.data();
  }
  if (c.norm) {
    args.q_norm = q_norm.data();
    args.k_norm = k_norm.data();
  }
  args.eps = 1e-6f;
  args.cos = cos.data();
  args.sin = sin.data();
  args.half = c.half;
  args.neox = c.neox;
  args.kv = got.view;
  World world(threads);
  RotateAndStore(world.ctx, world.env, places, args);

  const auto prepare = [&](float* head, const float* bias, const float* norm, size_t row) {
    if (bias != nullptr) Scalar().add(head, bias, dim, head);
    if (norm != nullptr) Scalar().rms_norm(head, norm, 1e-6f, dim, head);
    Scalar().rope(head, &cos[row * c.half], &sin[row * c.half], c.half, c.neox);
  };
  for (size_t r = 0; r < rows; ++r) {
    for (size_t h = 0; h < shape.num_heads; ++h)
      prepare(&want_q[r * q_dim + h * dim], c.bias ? &q_bias[h * dim] : nullptr,
              c.norm ? q_norm.data() : nullptr, r);
    const size_t position = static_cast<size_t>(kFirst) + r;
    const int32_t page = want.table[position / kPageTokens];
    for (size_t h = 0; h < shape.num_kv_heads; ++h) {
      const size_t at = r * kv_dim + h * dim;
      prepare(&want_k[at], c.bias ? &k_bias[h * dim] : nullptr, c.norm ? k_norm.data() : nullptr,
              r);
      if (c.bias) Scalar().add(&want_v[at], &v_bias[h * dim], dim, &want_v[at]);
      Scalar().kv_write(type, want.view.Page(page, h), position % kPageTokens, &want_k[at],
                        &want_v[at], dim);
    }
  }
  ExpectSame(want_q.data(), q.data(), q.size(), "q");
  EXPECT_EQ(want.bytes, got.bytes);
}

TEST(RowOps, RotateAndStoreIsItsSteps) {
  const RotateCase cases[] = {{false, false, false, 24},
                              {false, true, true, 24},
                              {true, false, true, 16},
                              {true, true, false, 10}};
  for (const RotateCase& c : cases) {
    for (const KvType type : {KvType::kF16, KvType::kF32}) {
      for (const size_t rows : {1, 2, 29, 70}) {
        for (const int threads : {1, 2, 3}) {
          SCOPED_TRACE(testing::Message() << "rows " << rows << " threads " << threads << " half "
                                          << c.half << " bias " << c.bias << " norm " << c.norm);
          ExpectRotated(c, {5, 1, 48}, type, rows, threads);
          ExpectRotated(c, {6, 3, 48}, type, rows, threads);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lull
