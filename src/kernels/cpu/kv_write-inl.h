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
  Element* v_row = static_cast<Element*>(page.v) + slot * head_dim;
  for (size_t d = 0; d < head_dim; d += 16) {
    Element lanes[16];
    Kv::Store(lanes, LoadF32(k + d));
    for (size_t i = 0; i < 16; ++i) k_page[(d + i) * kPageTokens] = lanes[i];
    Kv::Store(v_row + d, LoadF32(v + d));
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
  }
}

}  // namespace lull::LULL_ISA
