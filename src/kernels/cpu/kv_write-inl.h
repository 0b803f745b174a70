// One token's K (transposed, so that lanes are positions) and V into its slot of a page; and a
// whole page back to f32.
#include "kernels/cpu/kv_types-inl.h"

namespace lull::LULL_ISA {
namespace {

template <typename Kv>
LULL_INLINE void WriteSlot(KvPage page, size_t slot, const float* k, const float* v,
                           size_t head_dim) {
  using Element = typename Kv::Element;
  Element* k_page = static_cast<Element*>(page.k) + slot;
  Element* v_page = static_cast<Element*>(page.v);
  for (size_t d = 0; d < head_dim; d += 16) {
    Element lanes[16];
    Kv::Store(lanes, LoadF32(k + d));
    for (size_t i = 0; i < 16; ++i) k_page[(d + i) * kPageTokens] = lanes[i];
    Kv::Store(v_page + ValueOffset(head_dim, slot, d), LoadF32(v + d));
  }
}

// Up to 32 values to int8, and their f16 scale. The scale is rounded before it is divided by; one
// below f16's range makes zeros, a NaN or an infinity makes it NaN or infinite.
LULL_INLINE uint16_t QuantizeBlock(const float* x, size_t n, int8_t* q) {
  I32 magnitude = AsI32(Abs(LoadF32(x)));
  if (n > 16) magnitude = MaxI32(magnitude, AsI32(Abs(LoadF32(x + 16))));
  const int32_t amax_bits = MaxLanesI32(magnitude);
  float amax;
  memcpy(&amax, &amax_bits, 4);
  uint16_t lanes[16];
  StoreF16(lanes, Set1(amax / 127.0f));
  const F32 scale = LoadF16(lanes);
  const F32 inverse = SelectLess(ZeroF32(), scale, Div(Set1(1.0f), scale), ZeroF32());
  for (size_t i = 0; i < n; i += 16) {
    const F32 scaled = Mul(LoadF32(x + i), inverse);
    // The Max moves NaN into range.
    StoreI32AsI8(q + i, ToI32(Min(Max(scaled, Set1(-127.0f)), Set1(127.0f))));
  }
  return lanes[0];
}

LULL_INLINE void WriteSlotI8(KvPage page, size_t slot, const float* k, const float* v,
                             size_t head_dim) {
  int8_t* k_page = static_cast<int8_t*>(page.k);
  int8_t* v_page = static_cast<int8_t*>(page.v);
  uint16_t* k_scales = reinterpret_cast<uint16_t*>(k_page + head_dim * kPageTokens);
  uint16_t* v_scales = reinterpret_cast<uint16_t*>(v_page + head_dim * kPageTokens);
  for (size_t d = 0; d < head_dim; d += kScaleBlock) {
    const size_t n = head_dim - d < kScaleBlock ? head_dim - d : kScaleBlock;
    const size_t scale = d / kScaleBlock * kPageTokens + slot;
    int8_t lanes[kScaleBlock];
    k_scales[scale] = QuantizeBlock(k + d, n, lanes);
    for (size_t i = 0; i < n; ++i) k_page[(d + i) * kPageTokens + slot] = lanes[i];
    v_scales[scale] = QuantizeBlock(v + d, n, v_page + ValueOffset(head_dim, slot, d));
  }
}

LULL_INLINE void WidenPageI8(KvPage page, size_t head_dim, float* k, float* v) {
  const int8_t* k_page = static_cast<const int8_t*>(page.k);
  const int8_t* v_page = static_cast<const int8_t*>(page.v);
  const uint16_t* k_scales = Scales(k_page, head_dim);
  const uint16_t* v_scales = Scales(v_page, head_dim);
  for (size_t d = 0; d < head_dim; ++d) {
    for (size_t lane = 0; lane < kPageTokens; lane += 16) {
      const F32 scale = LoadF16(k_scales + d / kScaleBlock * kPageTokens + lane);
      StoreF32(k + d * kPageTokens + lane, Mul(KvI8::Load(k_page + d * kPageTokens + lane), scale));
    }
  }
  for (size_t d = 0; d < head_dim; d += 16) {
    float scales[kPageTokens];
    for (size_t j = 0; j < kPageTokens; j += 16)
      StoreF32(scales + j, LoadF16(v_scales + d / kScaleBlock * kPageTokens + j));
    for (size_t j = 0; j < kPageTokens; ++j) {
      const size_t at = ValueOffset(head_dim, j, d);
      StoreF32(v + at, Mul(KvI8::Load(v_page + at), Set1(scales[j])));
    }
  }
}

template <typename Kv>
LULL_INLINE void WidenValues(const void* values, size_t n, float* out) {
  const auto* from = static_cast<const typename Kv::Element*>(values);
  for (size_t i = 0; i < n; i += 16) StoreF32(out + i, Kv::Load(from + i));
}

template <typename Kv>
LULL_INLINE void WidenPage(KvPage page, size_t head_dim, float* k, float* v) {
  WidenValues<Kv>(page.k, head_dim * kPageTokens, k);
  WidenValues<Kv>(page.v, head_dim * kPageTokens, v);
}

}  // namespace

void KvWrite(KvType type, KvPage page, size_t slot, const float* k, const float* v,
             size_t head_dim) {
  switch (type) {
    case KvType::kF16:
      return WriteSlot<KvF16>(page, slot, k, v, head_dim);
    case KvType::kBf16:
      return WriteSlot<KvBf16>(page, slot, k, v, head_dim);
    case KvType::kF32:
      return WriteSlot<KvF32>(page, slot, k, v, head_dim);
    case KvType::kI8:
      return WriteSlotI8(page, slot, k, v, head_dim);
  }
}

void KvWiden(KvType type, KvPage page, size_t head_dim, float* k, float* v) {
  switch (type) {
    case KvType::kF16:
      return WidenPage<KvF16>(page, head_dim, k, v);
    case KvType::kBf16:
      return WidenPage<KvBf16>(page, head_dim, k, v);
    case KvType::kF32:
      return WidenPage<KvF32>(page, head_dim, k, v);
    case KvType::kI8:
      return WidenPageI8(page, head_dim, k, v);
  }
}

}  // namespace lull::LULL_ISA
