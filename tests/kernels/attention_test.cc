// Attention over pages: accuracy against double, and the same bits whatever the instruction set,
// the split into calls, the other heads, and what lies in slots no query may see.
#include <algorithm>
#include <limits>

#include "base/f16.h"
#include "tests/kernels/isas.h"

namespace lull {
namespace {

// The pages of one KV head, every byte of them garbage until written.
class Cache {
 public:
  Cache(const Kernels& kernels, KvType type, size_t head_dim, size_t tokens, uint8_t garbage = 0xff)
      : type_(type), head_dim_(head_dim) {
    const size_t pages = (tokens + kPageTokens - 1) / kPageTokens;
    const size_t bytes = KvHeadBytes(type, head_dim);
    storage_.assign(2 * pages * bytes, garbage);
    for (size_t i = 0; i < pages; ++i)
      pages_.push_back({&storage_[2 * i * bytes], &storage_[(2 * i + 1) * bytes]});
    k_ = RandomFloats(tokens * head_dim, 31);
    v_ = RandomFloats(tokens * head_dim, 32);
    // An outlier, as keys have them: the other values of its block are held more coarsely.
    for (size_t t = 0; t < tokens; ++t) k_[t * head_dim + 5] *= 4;
    for (size_t t = 0; t < tokens; ++t)
      kernels.kv_write(type, pages_[t / kPageTokens], t % kPageTokens, &k_[t * head_dim],
                       &v_[t * head_dim], head_dim);
  }
  const std::vector<KvPage>& pages() const { return pages_; }
  const std::vector<uint8_t>& storage() const { return storage_; }
  // What the cache holds after rounding to its type.
  double K(size_t t, size_t d) const { return Rounded(&k_[t * head_dim_], d); }
  double V(size_t t, size_t d) const { return Rounded(&v_[t * head_dim_], d); }

 private:
  double Rounded(const float* row, size_t d) const {
    if (type_ == KvType::kF16) return F16ToF32(F32ToF16(row[d]));
    if (type_ == KvType::kBf16) return Bf16ToF32(F32ToBf16(row[d]));
    if (type_ == KvType::kF32) return row[d];
    float amax = 0;
    for (size_t i = d / 32 * 32; i < std::min(head_dim_, d / 32 * 32 + 32); ++i)
      amax = std::max(amax, std::fabs(row[i]));
    const float scale = F16ToF32(F32ToF16(amax / 127.0f));
    return static_cast<double>(std::nearbyint(row[d] * (1.0f / scale))) * scale;
  }
  KvType type_;
  size_t head_dim_;
  std::vector<uint8_t> storage_;
  std::vector<KvPage> pages_;
  std::vector<float> k_, v_;
};

struct Shape {
  KvType type;
  size_t head_dim, num_q;
  int64_t begin, end;
};

// pages_per_call 0: all in one call. The window starts in the first page handed over.
std::vector<float> Attend(const Kernels& kernels, const Cache& cache, const Shape& shape,
                          const float* q, size_t pages_per_call = 0) {
  std::vector<float> out(shape.num_q * shape.head_dim, 7.0f), m(shape.num_q), l(shape.num_q);
  AttentionArgs args;
  args.q = &q;
  args.num_q = shape.num_q;
  args.head_dim = shape.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  args.kv_type = shape.type;
  args.first_page = shape.begin / static_cast<int64_t>(kPageTokens);
  args.pages = cache.pages().data() + args.first_page;
  args.begin_position = shape.begin;
  args.end_position = shape.end;
  float* out_row = out.data();
  args.out = &out_row;
  const AttentionState state{m.data(), l.data()};
  const size_t pages = (shape.end + kPageTokens - 1) / kPageTokens - args.first_page;
  if (pages_per_call == 0) pages_per_call = pages;
  kernels.attention_begin(args, state);
  for (size_t p = 0; p < pages; p += pages_per_call)
    kernels.attention_pages(args, p, std::min(pages, p + pages_per_call), state);
  kernels.attention_end(args, state);
  return out;
}

std::vector<double> Reference(const Cache& cache, const Shape& s, const float* q) {
  std::vector<double> out(s.num_q * s.head_dim, 0.0);
  for (size_t h = 0; h < s.num_q; ++h) {
    std::vector<double> scores;
    double max = -1e300, sum = 0;
    for (int64_t t = s.begin; t < s.end; ++t) {
      double dot = 0;
      for (size_t d = 0; d < s.head_dim; ++d) dot += q[h * s.head_dim + d] * cache.K(t, d);
      scores.push_back(dot / std::sqrt(static_cast<double>(s.head_dim)));
      max = std::max(max, scores.back());
    }
    for (double& x : scores) sum += (x = std::exp(x - max));
    for (int64_t t = s.begin; t < s.end; ++t)
      for (size_t d = 0; d < s.head_dim; ++d)
        out[h * s.head_dim + d] += scores[t - s.begin] / sum * cache.V(t, d);
  }
  return out;
}

constexpr KvType kTypes[] = {KvType::kF16, KvType::kBf16, KvType::kF32, KvType::kI8};
constexpr std::pair<int64_t, int64_t> kRanges[] = {
    {0, 1}, {0, 15},  {0, 16},   {0, 17},   {0, 64},    {0, 65}, {0, 200},
    {5, 6}, {63, 65}, {20, 180}, {64, 128}, {127, 200}, {33, 47}};

TEST(Attention, MatchesDouble) {
  for (KvType type : kTypes) {
    for (size_t head_dim : {16, 48, 64, 80, 128, 256}) {
      for (size_t num_q : {1, 2, 3, 4, 5, 9}) {
        const Cache cache(BestKernels(), type, head_dim, 200);
        const auto q = RandomFloats(num_q * head_dim, 33, 2.0f);
        for (const auto& [begin, end] : kRanges) {
          const Shape shape{type, head_dim, num_q, begin, end};
          const auto got = Attend(BestKernels(), cache, shape, q.data());
          const auto want = Reference(cache, shape, q.data());
          for (size_t i = 0; i < got.size(); ++i)
            ASSERT_NEAR(want[i], got[i], 4e-6)
                << head_dim << " " << num_q << " " << begin << "-" << end;
        }
      }
    }
  }
}

TEST(Attention, EveryIsaGivesTheSameBits) {
  for (KvType type : kTypes) {
    for (size_t head_dim : {16, 64, 80, 96, 256}) {
      for (size_t num_q : {1, 2, 3, 4, 7}) {
        const Cache reference(ScalarKernels(), type, head_dim, 200);
        const auto q = RandomFloats(num_q * head_dim, 34, 2.0f);
        for (const Kernels* kernels : MachineKernels()) {
          const Cache cache(*kernels, type, head_dim, 200);
          ASSERT_EQ(reference.storage(), cache.storage()) << kernels->name;  // kv_write
          for (const auto& [begin, end] : kRanges) {
            const Shape shape{type, head_dim, num_q, begin, end};
            ExpectSameBits(Attend(ScalarKernels(), reference, shape, q.data()),
                           Attend(*kernels, cache, shape, q.data()), kernels->name);
          }
        }
      }
    }
  }
}

// A prefill row sees a cache that already holds later positions; a decode step does not.
TEST(Attention, PrefillRowEqualsDecodeRow) {
  for (const Kernels* kernels : MachineKernels()) {
    for (const KvType type : kTypes) {
      const Cache whole(*kernels, type, 64, 300);
      const auto q = RandomFloats(3 * 64, 35);
      for (size_t end : {1, 17, 63, 64, 65, 130, 256, 299}) {
        // The same first values: RandomFloats of a shorter length is a prefix.
        const Cache so_far(*kernels, type, 64, end, 0x7b);
        const Shape shape{type, 64, 3, 0, static_cast<int64_t>(end)};
        ExpectSameBits(Attend(*kernels, whole, shape, q.data()),
                       Attend(*kernels, so_far, shape, q.data()), kernels->name);
      }
    }
  }
}

// A page widened once for many rows gives each of them what the page itself gives.
TEST(Attention, WidenedPagesGiveTheSameBits) {
  constexpr size_t kDim = 80, kTokens = 150;
  for (const Kernels* kernels : MachineKernels()) {
    for (KvType type : kTypes) {
      const Cache narrow(*kernels, type, kDim, kTokens);
      Cache wide(*kernels, KvType::kF32, kDim, kTokens);
      for (size_t p = 0; p < narrow.pages().size(); ++p)
        kernels->kv_widen(type, narrow.pages()[p], kDim, static_cast<float*>(wide.pages()[p].k),
                          static_cast<float*>(wide.pages()[p].v));
      const auto q = RandomFloats(3 * kDim, 37);
      ExpectSameBits(Attend(*kernels, narrow, {type, kDim, 3, 5, kTokens}, q.data()),
                     Attend(*kernels, wide, {KvType::kF32, kDim, 3, 5, kTokens}, q.data()),
                     kernels->name);
    }
  }
}

TEST(Attention, SplitIntoCallsChangesNothing) {
  for (const Kernels* kernels : MachineKernels()) {
    for (const KvType type : kTypes) {
      const Cache cache(*kernels, type, 128, 500);
      const auto q = RandomFloats(4 * 128, 36);
      const Shape shape{type, 128, 4, 70, 490};
      const auto want = Attend(*kernels, cache, shape, q.data());
      for (size_t pages : {1, 2, 3, 5})
        ExpectSameBits(want, Attend(*kernels, cache, shape, q.data(), pages), kernels->name);
    }
  }
}

// Pages before the window and after the end may be handed over: they are skipped.
TEST(Attention, InvisiblePagesContributeNothing) {
  for (const Kernels* kernels : MachineKernels()) {
    const Cache cache(*kernels, KvType::kF16, 64, 300);
    const auto q = RandomFloats(64, 37);
    const Shape shape{KvType::kF16, 64, 1, 130, 180};
    const auto want = Attend(*kernels, cache, shape, q.data());
    std::vector<float> out(64), m(1), l(1);
    const float* q_row = q.data();
    float* out_row = out.data();
    const AttentionArgs args{1,       &q_row, 1,   64,  0.125f,  KvType::kF16, cache.pages().data(),
                             nullptr, 0,      130, 180, &out_row};
    const AttentionState state{m.data(), l.data()};
    kernels->attention_begin(args, state);
    kernels->attention_pages(args, 0, 5, state);
    kernels->attention_end(args, state);
    ExpectSameBits(want, out, kernels->name);
  }
}

// A head's result does not depend on the heads computed beside it.
TEST(Attention, HeadsAreIndependent) {
  for (const Kernels* kernels : MachineKernels()) {
    for (const KvType type : kTypes) {
      const Cache cache(*kernels, type, 80, 150);
      const auto q = RandomFloats(7 * 80, 38);
      const auto all = Attend(*kernels, cache, {type, 80, 7, 3, 150}, q.data());
      for (size_t h = 0; h < 7; ++h) {
        const auto one = Attend(*kernels, cache, {type, 80, 1, 3, 150}, q.data() + h * 80);
        ExpectSameBits(std::vector<float>(all.begin() + h * 80, all.begin() + (h + 1) * 80), one,
                       kernels->name);
      }
    }
  }
}

// Rows taken together, in full batches and remainders, wherever each row's vectors lie.
TEST(Attention, RowsAreIndependent) {
  constexpr size_t kRows = 23, kHeads = 3;
  for (const Kernels* kernels : MachineKernels()) {
    for (const KvType type : kTypes) {
      for (const size_t head_dim : {16, 80, 192}) {
        const Cache cache(*kernels, type, head_dim, 200);
        const size_t values = kHeads * head_dim;
        const auto q = RandomFloats(kRows * values, 39, 2.0f);
        std::vector<float> out(kRows * values), m(kRows * kHeads), l(kRows * kHeads);
        std::vector<const float*> q_rows;
        std::vector<float*> out_rows;
        for (size_t r = 0; r < kRows; ++r) {
          q_rows.push_back(&q[r * 7 % kRows * values]);
          out_rows.push_back(&out[r * 7 % kRows * values]);
        }
        AttentionArgs args;
        args.num_rows = kRows;
        args.q = q_rows.data();
        args.num_q = kHeads;
        args.head_dim = head_dim;
        args.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
        args.kv_type = type;
        args.pages = cache.pages().data();
        args.begin_position = 5;
        args.end_position = 200;
        args.out = out_rows.data();
        const AttentionState state{m.data(), l.data()};
        kernels->attention_begin(args, state);
        kernels->attention_pages(args, 0, 4, state);
        kernels->attention_end(args, state);
        for (size_t r = 0; r < kRows; ++r)
          ExpectSameBits(Attend(*kernels, cache, {type, head_dim, kHeads, 5, 200}, &q[r * values]),
                         std::vector<float>(&out[r * values], &out[(r + 1) * values]),
                         kernels->name);
      }
    }
  }
}

TEST(Attention, HugeTinyAndEqualScores) {
  for (const Kernels* kernels : MachineKernels()) {
    const Cache cache(*kernels, KvType::kF32, 64, 130);
    for (float magnitude : {0.0f, 1e-30f, 1e4f, 1e30f}) {
      const auto q = RandomFloats(64, 39, magnitude);
      const Shape shape{KvType::kF32, 64, 1, 0, 130};
      const auto got = Attend(*kernels, cache, shape, q.data());
      const auto want = Reference(cache, shape, q.data());
      for (size_t d = 0; d < 64; ++d) ASSERT_NEAR(want[d], got[d], 2e-3) << magnitude;
    }
  }
}

}  // namespace
}  // namespace lull
