// Attention of the query heads that share one KV head over pages of 64 positions, with the softmax
// merged page by page. A page is taken in three passes over up to kBatch query vectors, heads of
// one row or of many: all scores, all weights, all values. docs/design/arithmetic.md, "Attention
// and pages".
#include "kernels/cpu/kv_types-inl.h"
#include "kernels/cpu/math-inl.h"

namespace lull::LULL_ISA {
namespace {

// Query vectors that share what is loaded of K and V.
constexpr size_t kTile = kF32Registers >= 8 ? 4 : 1;
// Query vectors whose scores stay in the first-level cache, beside 64 dimensions of K or V in f32.
constexpr size_t kBatch = 32;
constexpr size_t kCachedDims = 64;
// Vectors accumulated at once: half of the registers, the rest holds operands.
constexpr int BlockVectors(int heads, int limit) {
  int vectors = limit;
  while (vectors > 1 && vectors * heads > kF32Registers / 2) vectors /= 2;
  return vectors;
}

// The visible slots of one page: [begin, end).
struct Slots {
  size_t begin, end;
};

LULL_INLINE Slots VisibleSlots(const AttentionArgs& args, size_t page) {
  const int64_t origin = (args.first_page + static_cast<int64_t>(page)) * int64_t{kPageTokens};
  const int64_t begin = args.begin_position - origin, end = args.end_position - origin;
  const int64_t size = kPageTokens;
  return {static_cast<size_t>(begin < 0      ? 0
                              : begin < size ? begin
                                             : size),
          static_cast<size_t>(end < 0      ? 0
                              : end < size ? end
                                           : size)};
}

// Fetches the K or the V of the page that is read next, some lines at each step of the work on this
// one: pieces of some KiB end before the hardware's prefetchers have caught up with them.
struct Fetch {
  const uint8_t* at = nullptr;
  const uint8_t* end = nullptr;
  size_t lines = 0;  // of 64 bytes, for each step

  Fetch() = default;
  LULL_INLINE Fetch(const void* values, size_t bytes)
      : at(static_cast<const uint8_t*>(values)), end(at + bytes) {}
  // The rest of it in so many steps.
  LULL_INLINE void Spread(size_t steps) {
    if (at == end) return;
    lines = (static_cast<size_t>(end - at) / 64 + steps - 1) / steps;
  }
  LULL_INLINE void Step() {
    if (at == end) return;
    for (size_t i = 0; i < lines && at != end; ++i, at += 64) PrefetchFar(at);
  }
};
// For each query vector's weights, which read nothing themselves: what memory delivers meanwhile.
constexpr size_t kWeightLines = 8;

// Some query vectors of a call, and where their results go.
struct Batch {
  size_t n = 0;
  const float* q[kBatch];
  float* out[kBatch];
  alignas(64) float scores[kBatch * kPageTokens];  // then weights
  alignas(64) float rescale[(kBatch + 15) / 16 * 16];
};

// A stretch of dimensions of the dot products; the chain of additions goes through all of them.
struct Dims {
  size_t begin, end;
};

// scores[h * 64 + i] = scale * q_h . k_i for kVectors * 16 positions from `lane` on.
template <typename Kv, int kHeads, int kVectors>
LULL_INLINE void ScoreBlock(const float* const* q, Dims dims, size_t head_dim, float scale,
                            const typename Kv::Element* k, size_t lane, Fetch& fetch,
                            float* scores) {
  const float* query[kHeads];
  F32 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
    query[h] = q[h];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[h][v] = dims.begin == 0 ? ZeroF32() : LoadF32(scores + h * kPageTokens + lane + 16 * v);
  }
  const size_t block = Kv::kScaled ? kScaleBlock : dims.end - dims.begin;
  for (size_t begin = dims.begin; begin < dims.end; begin += block) {
    [[maybe_unused]] F32 scales[kVectors];
    if constexpr (Kv::kScaled) {
      const uint16_t* from = Scales(k, head_dim) + begin / kScaleBlock * kPageTokens + lane;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) scales[v] = LoadF16(from + 16 * v);
    }
    const size_t end = dims.end - begin < block ? dims.end : begin + block;
    for (size_t d = begin; d < end; ++d) {
      fetch.Step();
      F32 keys[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        keys[v] = Kv::Load(k + d * kPageTokens + lane + 16 * v);
        if constexpr (Kv::kScaled) keys[v] = Mul(keys[v], scales[v]);
      }
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) {
        const F32 value = Set1(query[h][d]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[h][v] = Fma(value, keys[v], acc[h][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      StoreF32(scores + h * kPageTokens + lane + 16 * v,
               dims.end == head_dim ? Mul(acc[h][v], Set1(scale)) : acc[h][v]);
}

// The lanes that hold visible slots, for kHeads query vectors.
template <typename Kv, int kHeads>
LULL_INLINE void ScoreTile(const AttentionArgs& args, const float* const* q, Dims dims,
                           const KvPage& page, Slots slots, Fetch fetch, float* scores) {
  constexpr int kVectors = BlockVectors(kHeads, 4);
  fetch.Spread((slots.end - slots.begin + 16 * kVectors - 1) / (16 * kVectors) * args.head_dim);
  const auto* k = static_cast<const typename Kv::Element*>(page.k);
  const size_t end = (slots.end + 15) / 16 * 16;
  size_t lane = slots.begin / 16 * 16;
  if constexpr (kVectors == 4) {
    // Three vectors cost what four do, which hide each other's latency.
    if (lane + 48 <= end)
      return ScoreBlock<Kv, kHeads, 4>(q, dims, args.head_dim, args.scale, k, 0, fetch, scores);
  }
  if constexpr (kVectors >= 2) {
    for (; lane + 32 <= end; lane += 32)
      ScoreBlock<Kv, kHeads, 2>(q, dims, args.head_dim, args.scale, k, lane, fetch, scores);
  }
  for (; lane < end; lane += 16)
    ScoreBlock<Kv, kHeads, 1>(q, dims, args.head_dim, args.scale, k, lane, fetch, scores);
}

// Calls fn<kHeads>(first) for tiles of up to kTile of n query vectors.
template <typename Fn>
LULL_INLINE void ForTiles(size_t n, Fn&& fn) {
  size_t i = 0;
  for (; i + kTile <= n; i += kTile) fn.template operator()<kTile>(i);
  if constexpr (kTile > 1) {
    if (n - i == 1) fn.template operator()<1>(i);
    if (n - i == 2) fn.template operator()<2>(i);
    if (n - i == 3) fn.template operator()<3>(i);
  }
}

// Lanes that no score was computed for may hold anything; they are overwritten.
LULL_INLINE void CapScores(float softcap, Batch& batch) {
  const F32 cap = Set1(softcap);
  for (size_t i = 0; i < batch.n * kPageTokens; i += 16)
    StoreF32(batch.scores + i, Mul(cap, Tanh(Div(LoadF32(batch.scores + i), cap))));
}

// Scores of all 64 positions; those outside the visible slots are -inf.
template <typename Kv>
LULL_INLINE void PageScores(const AttentionArgs& args, const KvPage& page, Slots slots, Fetch fetch,
                            Batch& batch) {
  // Read once, a page passes as it lies; read by several tiles, in pieces that stay cached.
  const size_t step = batch.n <= kTile ? args.head_dim : kCachedDims;
  for (size_t begin = 0; begin < args.head_dim; begin += step) {
    const size_t end = args.head_dim - begin < step ? args.head_dim : begin + step;
    const Dims dims{begin, end};
    ForTiles(batch.n, [&]<int kHeads>(size_t i) {
      ScoreTile<Kv, kHeads>(args, batch.q + i, dims, page, slots,
                            i == 0 && begin == 0 ? fetch : Fetch(), batch.scores + i * kPageTokens);
    });
  }
  if (args.softcap != 0.0f) CapScores(args.softcap, batch);
  if (slots.begin == 0 && slots.end == kPageTokens) return;
  for (size_t h = 0; h < batch.n; ++h) {
    float* row = batch.scores + h * kPageTokens;
    for (size_t i = 0; i < slots.begin; ++i) row[i] = -__builtin_inff();
    for (size_t i = slots.end; i < kPageTokens; ++i) row[i] = -__builtin_inff();
  }
}

// Turns one head's scores into weights e^(s - new maximum), updates the maximum, returns their sum.
LULL_INLINE float PageWeights(float* scores, float* max) {
  const F32 s0 = LoadF32(scores), s1 = LoadF32(scores + 16);
  const F32 s2 = LoadF32(scores + 32), s3 = LoadF32(scores + 48);
  const float page_max = MaxLanes(Max(Max(s0, s1), Max(s2, s3)));
  *max = *max > page_max ? *max : page_max;
  const F32 m = Set1(*max);
  const F32 p0 = Exp(Sub(s0, m)), p1 = Exp(Sub(s1, m)), p2 = Exp(Sub(s2, m)), p3 = Exp(Sub(s3, m));
  StoreF32(scores, p0);
  StoreF32(scores + 16, p1);
  StoreF32(scores + 32, p2);
  StoreF32(scores + 48, p3);
  return SumLanes(Add(Add(p0, p1), Add(p2, p3)));
}

// out_h[d] = out_h[d] * rescale_h, then the FMA chain over visible positions, for kVectors * 16
// dimensions from d on; they lie in one block of V.
template <typename Kv, int kHeads, int kVectors>
LULL_INLINE void ValueBlock(const float* weights, const float* rescale,
                            const typename Kv::Element* v_page, Slots slots, size_t head_dim,
                            size_t d, Fetch& fetch, float* const* out) {
  F32 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[h][v] = Mul(LoadF32(out[h] + d + 16 * v), Set1(rescale[h]));
  // Widened scales of the blocks; d is a multiple of 32 where there is more than one vector.
  [[maybe_unused]] alignas(64) float scales[(kVectors + 1) / 2][kPageTokens];
  if constexpr (Kv::kScaled) {
    const uint16_t* from = Scales(v_page, head_dim) + d / kScaleBlock * kPageTokens;
    for (size_t i = 0; i < (kVectors + 1) / 2 * kPageTokens; i += 16)
      StoreF32(&scales[0][0] + i, LoadF16(from + i));
  }
  const size_t width = ValueBlockWidth(head_dim, d);
  const typename Kv::Element* row = v_page + ValueOffset(head_dim, slots.begin, d);
  for (size_t j = slots.begin; j < slots.end; ++j, row += width) {
    fetch.Step();
    F32 values[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      values[v] = Kv::Load(row + 16 * v);
      if constexpr (Kv::kScaled) values[v] = Mul(values[v], Set1(scales[v / 2][j]));
    }
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const F32 weight = Set1(weights[h * kPageTokens + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[h][v] = Fma(weight, values[v], acc[h][v]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) StoreF32(out[h] + d + 16 * v, acc[h][v]);
}

// The dimensions [begin, end), within one block of V, for kHeads query vectors.
template <typename Kv, int kHeads>
LULL_INLINE void ValueTile(const float* weights, const float* rescale,
                           const typename Kv::Element* v, Slots slots, size_t head_dim,
                           size_t begin, size_t end, Fetch& fetch, float* const* out) {
  constexpr int kVectors = BlockVectors(kHeads, 4);
  constexpr int kHalf = kVectors > 1 ? kVectors / 2 : 1;
  size_t d = begin;
  for (; d + 16 * kVectors <= end; d += 16 * kVectors)
    ValueBlock<Kv, kHeads, kVectors>(weights, rescale, v, slots, head_dim, d, fetch, out);
  if constexpr (kHalf > 1) {
    for (; d + 16 * kHalf <= end; d += 16 * kHalf)
      ValueBlock<Kv, kHeads, kHalf>(weights, rescale, v, slots, head_dim, d, fetch, out);
  }
  if constexpr (kVectors > 1) {
    for (; d < end; d += 16)
      ValueBlock<Kv, kHeads, 1>(weights, rescale, v, slots, head_dim, d, fetch, out);
  }
}

template <typename Kv>
LULL_INLINE void PageValues(const AttentionArgs& args, const KvPage& page, Slots slots, Fetch fetch,
                            Batch& batch) {
  const auto* v = static_cast<const typename Kv::Element*>(page.v);
  const size_t head_dim = args.head_dim;
  constexpr size_t kStep = 16 * BlockVectors(kTile, 4);
  fetch.Spread((head_dim + kStep - 1) / kStep * (slots.end - slots.begin));
  for (size_t begin = 0; begin < head_dim; begin += kValueBlock) {
    const size_t end = begin + ValueBlockWidth(head_dim, begin);
    ForTiles(batch.n, [&]<int kHeads>(size_t i) {
      Fetch mine = i == 0 ? fetch : Fetch();  // in registers
      ValueTile<Kv, kHeads>(batch.scores + i * kPageTokens, batch.rescale + i, v, slots, head_dim,
                            begin, end, mine, batch.out + i);
      if (i == 0) fetch = mine;
    });
  }
}

// One page for the query vectors of a batch, whose state begins at m and l.
template <typename Kv>
LULL_INLINE void AttendPage(const AttentionArgs& args, const KvPage& page, Slots slots,
                            const KvPage* next, float* m, float* l, Batch& batch) {
  Fetch next_k, next_v;
  if (next != nullptr) {
    next_k = Fetch(next->k, KvHeadBytes(args.kv_type, args.head_dim));
    next_v = Fetch(next->v, KvHeadBytes(args.kv_type, args.head_dim));
    next_v.lines = kWeightLines;
  }
  PageScores<Kv>(args, page, slots, next_k, batch);
  float sums[kBatch];
  for (size_t i = 0; i < batch.n; ++i) {
    next_v.Step();
    const float before = m[i];
    sums[i] = PageWeights(batch.scores + i * kPageTokens, &m[i]);
    batch.rescale[i] = before - m[i];
  }
  for (size_t i = batch.n; i % 16 != 0; ++i) batch.rescale[i] = 0.0f;
  for (size_t i = 0; i < batch.n; i += 16)
    StoreF32(batch.rescale + i, Exp(LoadF32(batch.rescale + i)));
  for (size_t i = 0; i < batch.n; ++i) l[i] = __builtin_fmaf(l[i], batch.rescale[i], sums[i]);
  PageValues<Kv>(args, page, slots, next_v, batch);
}

template <typename Kv>
LULL_INLINE void AttendPages(const AttentionArgs& args, size_t page_begin, size_t page_end,
                             AttentionState state) {
  Batch batch;
  const size_t vectors = args.num_rows * args.num_q;
  for (size_t page = page_begin; page < page_end; ++page) {
    const Slots slots = VisibleSlots(args, page);
    if (slots.begin >= slots.end) continue;
    const KvPage* next = page + 1 < page_end ? &args.pages[page + 1] : args.next;
    size_t row = 0, head = 0;
    for (size_t begin = 0; begin < vectors; begin += batch.n) {
      batch.n = vectors - begin < kBatch ? vectors - begin : kBatch;
      for (size_t i = 0; i < batch.n; ++i) {
        batch.q[i] = args.q[row] + head * args.head_dim;
        batch.out[i] = args.out[row] + head * args.head_dim;
        if (++head == args.num_q) head = 0, ++row;
      }
      AttendPage<Kv>(args, args.pages[page], slots, begin == 0 ? next : nullptr, state.m + begin,
                     state.l + begin, batch);
    }
  }
}

}  // namespace

void AttentionBegin(const AttentionArgs& args, AttentionState state) {
  for (size_t i = 0; i < args.num_rows * args.num_q; ++i) {
    state.m[i] = args.sinks != nullptr ? args.sinks[i % args.num_q] : -__builtin_inff();
    state.l[i] = args.sinks != nullptr ? 1.0f : 0.0f;
  }
  for (size_t row = 0; row < args.num_rows; ++row)
    memset(args.out[row], 0, args.num_q * args.head_dim * sizeof(float));
}

void AttentionPages(const AttentionArgs& args, size_t page_begin, size_t page_end,
                    AttentionState state) {
  switch (args.kv_type) {
    case KvType::kF16:
      return AttendPages<KvF16>(args, page_begin, page_end, state);
    case KvType::kBf16:
      return AttendPages<KvBf16>(args, page_begin, page_end, state);
    case KvType::kF32:
      return AttendPages<KvF32>(args, page_begin, page_end, state);
    case KvType::kI8:
      return AttendPages<KvI8>(args, page_begin, page_end, state);
  }
}

void AttentionEnd(const AttentionArgs& args, AttentionState state) {
  for (size_t i = 0; i < args.num_rows * args.num_q; ++i) {
    float* out = args.out[i / args.num_q] + i % args.num_q * args.head_dim;
    const F32 inverse = Div(Set1(1.0f), Set1(state.l[i]));
    for (size_t d = 0; d < args.head_dim; d += 16)
      StoreF32(out + d, Mul(LoadF32(out + d), inverse));
  }
}

}  // namespace lull::LULL_ISA
