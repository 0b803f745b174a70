// Attention of the query heads that share one KV head over pages of 64 positions, with the softmax
// merged page by page. docs/design/arithmetic.md, "Attention and pages".
#include "kernels/cpu/kv_types-inl.h"
#include "kernels/cpu/math-inl.h"

namespace lull::LULL_ISA {
namespace {

// Query heads that share one pass over a page.
constexpr size_t kMaxHeads = kF32Registers >= 8 ? 4 : 1;
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

// What one step of a loop over a page fetches of what is read next: a whole page ahead, because
// pieces of some KiB end before the hardware's prefetchers have caught up with them.
struct Fetch {
  const uint8_t* at = nullptr;
  const uint8_t* end = nullptr;
  size_t lines = 0;  // of 64 bytes, for each step

  Fetch() = default;
  LULL_INLINE Fetch(const void* values, size_t bytes, size_t steps)
      : at(static_cast<const uint8_t*>(values)),
        end(at + bytes),
        lines((bytes / 64 + steps - 1) / steps) {}
  LULL_INLINE void Step() {
    if (at == end) return;
    for (size_t i = 0; i < lines && at != end; ++i, at += 64) PrefetchFar(at);
  }
};

// scores[h * 64 + i] = scale * q_h . k_i for kVectors * 16 positions from `lane` on.
template <typename Kv, int kHeads, int kVectors>
LULL_INLINE void ScoreBlock(const float* q, size_t head_dim, float scale,
                            const typename Kv::Element* k, size_t lane, Fetch& fetch,
                            float* scores) {
  F32 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[h][v] = ZeroF32();
  const size_t block = Kv::kScaled ? kScaleBlock : head_dim;
  for (size_t begin = 0; begin < head_dim; begin += block) {
    [[maybe_unused]] F32 scales[kVectors];
    if constexpr (Kv::kScaled) {
      const uint16_t* from = Scales(k, head_dim) + begin / kScaleBlock * kPageTokens + lane;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) scales[v] = LoadF16(from + 16 * v);
    }
    const size_t end = head_dim - begin < block ? head_dim : begin + block;
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
        const F32 query = Set1(q[h * head_dim + d]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[h][v] = Fma(query, keys[v], acc[h][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      StoreF32(scores + h * kPageTokens + lane + 16 * v, Mul(acc[h][v], Set1(scale)));
}

// Scores of all 64 positions; those outside the visible slots are -inf.
template <typename Kv, int kHeads>
LULL_INLINE void PageScores(const AttentionArgs& args, const float* q, const KvPage& page,
                            Slots slots, const KvPage* next, float* scores) {
  constexpr int kVectors = BlockVectors(kHeads, 4);
  Fetch fetch;
  if (next != nullptr) {
    const size_t steps = (slots.end - slots.begin + 16 * kVectors - 1) / (16 * kVectors);
    fetch = Fetch(next->k, KvHeadBytes(args.kv_type, args.head_dim), steps * args.head_dim);
  }
  const auto* k = static_cast<const typename Kv::Element*>(page.k);
  size_t lane = slots.begin / 16 * 16;
  for (; lane + 16 * kVectors <= (slots.end + 15) / 16 * 16; lane += 16 * kVectors)
    ScoreBlock<Kv, kHeads, kVectors>(q, args.head_dim, args.scale, k, lane, fetch, scores);
  if constexpr (kVectors > 1) {
    for (; lane < slots.end; lane += 16)
      ScoreBlock<Kv, kHeads, 1>(q, args.head_dim, args.scale, k, lane, fetch, scores);
  }
  if (slots.begin == 0 && slots.end == kPageTokens) return;
  for (int h = 0; h < kHeads; ++h) {
    float* row = scores + h * kPageTokens;
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
// dimensions from d on.
template <typename Kv, int kHeads, int kVectors>
LULL_INLINE void ValueBlock(const float* weights, const float* rescale,
                            const typename Kv::Element* v_page, Slots slots, size_t head_dim,
                            size_t d, Fetch& fetch, float* out) {
  F32 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      acc[h][v] = Mul(LoadF32(out + h * head_dim + d + 16 * v), Set1(rescale[h]));
  // Widened scales of the blocks; d is a multiple of 32 where there is more than one vector.
  [[maybe_unused]] alignas(64) float scales[(kVectors + 1) / 2][kPageTokens];
  if constexpr (Kv::kScaled) {
    const uint16_t* from = Scales(v_page, head_dim) + d / kScaleBlock * kPageTokens;
    for (size_t i = 0; i < (kVectors + 1) / 2 * kPageTokens; i += 16)
      StoreF32(&scales[0][0] + i, LoadF16(from + i));
  }
  for (size_t j = slots.begin; j < slots.end; ++j) {
    fetch.Step();
    F32 values[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      values[v] = Kv::Load(v_page + j * head_dim + d + 16 * v);
      if constexpr (Kv::kScaled) values[v] = Mul(values[v], Set1(scales[v / 2][j]));
    }
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const F32 weight = Set1(weights[h * kPageTokens + j]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[h][v] = Fma(weight, values[v], acc[h][v]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) StoreF32(out + h * head_dim + d + 16 * v, acc[h][v]);
}

template <typename Kv, int kHeads>
LULL_INLINE void PageValues(const float* weights, const float* rescale, const KvPage& page,
                            Slots slots, size_t head_dim, const KvPage* next, size_t next_bytes,
                            float* out) {
  constexpr int kVectors = BlockVectors(kHeads, 8);
  constexpr int kHalf = kVectors > 1 ? kVectors / 2 : 1;
  const auto* v = static_cast<const typename Kv::Element*>(page.v);
  Fetch fetch;
  if (next != nullptr) {
    const size_t steps = (head_dim + 16 * kVectors - 1) / (16 * kVectors);
    fetch = Fetch(next->v, next_bytes, steps * (slots.end - slots.begin));
  }
  size_t d = 0;
  for (; d + 16 * kVectors <= head_dim; d += 16 * kVectors)
    ValueBlock<Kv, kHeads, kVectors>(weights, rescale, v, slots, head_dim, d, fetch, out);
  if constexpr (kHalf > 1) {
    for (; d + 16 * kHalf <= head_dim; d += 16 * kHalf)
      ValueBlock<Kv, kHeads, kHalf>(weights, rescale, v, slots, head_dim, d, fetch, out);
  }
  if constexpr (kVectors > 1) {
    for (; d < head_dim; d += 16)
      ValueBlock<Kv, kHeads, 1>(weights, rescale, v, slots, head_dim, d, fetch, out);
  }
}

// One page for kHeads query heads from `head` on.
template <typename Kv, int kHeads>
void AttendPage(const AttentionArgs& args, const KvPage& page, Slots slots, size_t head,
                const KvPage* next, AttentionState state) {
  alignas(64) float scores[kHeads * kPageTokens];
  if (head != 0) next = nullptr;  // fetched once
  PageScores<Kv, kHeads>(args, args.q + head * args.head_dim, page, slots, next, scores);
  alignas(64) float rescale[16] = {};
  float sums[kHeads];
  for (int h = 0; h < kHeads; ++h) {
    const float before = state.m[head + h];
    sums[h] = PageWeights(scores + h * kPageTokens, &state.m[head + h]);
    rescale[h] = before - state.m[head + h];
  }
  StoreF32(rescale, Exp(LoadF32(rescale)));
  for (int h = 0; h < kHeads; ++h)
    state.l[head + h] = __builtin_fmaf(state.l[head + h], rescale[h], sums[h]);
  PageValues<Kv, kHeads>(scores, rescale, page, slots, args.head_dim, next,
                         KvHeadBytes(args.kv_type, args.head_dim), args.out + head * args.head_dim);
}

template <typename Kv>
LULL_INLINE void AttendPages(const AttentionArgs& args, size_t page_begin, size_t page_end,
                             AttentionState state) {
  for (size_t page = page_begin; page < page_end; ++page) {
    const Slots slots = VisibleSlots(args, page);
    if (slots.begin >= slots.end) continue;
    const KvPage& kv = args.pages[page];
    const KvPage* next = page + 1 < page_end ? &args.pages[page + 1] : args.next;
    for (size_t head = 0; head < args.num_q; head += kMaxHeads) {
      const size_t heads = kMaxHeads == 1 ? 1 : args.num_q - head;
      if (heads == 1) {
        AttendPage<Kv, 1>(args, kv, slots, head, next, state);
      } else if constexpr (kMaxHeads > 1) {
        if (heads == 2) AttendPage<Kv, 2>(args, kv, slots, head, next, state);
        if (heads == 3) AttendPage<Kv, 3>(args, kv, slots, head, next, state);
        if (heads >= 4) AttendPage<Kv, 4>(args, kv, slots, head, next, state);
      }
    }
  }
}

}  // namespace

void AttentionBegin(const AttentionArgs& args, AttentionState state) {
  for (size_t h = 0; h < args.num_q; ++h) {
    state.m[h] = -__builtin_inff();
    state.l[h] = 0.0f;
  }
  memset(args.out, 0, args.num_q * args.head_dim * sizeof(float));
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
  for (size_t h = 0; h < args.num_q; ++h) {
    float* out = args.out + h * args.head_dim;
    const F32 inverse = Div(Set1(1.0f), Set1(state.l[h]));
    for (size_t d = 0; d < args.head_dim; d += 16)
      StoreF32(out + d, Mul(LoadF32(out + d), inverse));
  }
}

}  // namespace lull::LULL_ISA
