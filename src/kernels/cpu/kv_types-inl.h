// KV element types as template parameters: widened exactly, narrowed to nearest even.
namespace lull::LULL_ISA {
namespace {

struct KvF16 {
  static constexpr bool kScaled = false;
  using Element = uint16_t;
  static LULL_INLINE F32 Load(const Element* p) { return LoadF16(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreF16(p, a); }
};
struct KvBf16 {
  static constexpr bool kScaled = false;
  using Element = uint16_t;
  static LULL_INLINE F32 Load(const Element* p) { return LoadBf16(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreBf16(p, a); }
};
struct KvF32 {
  static constexpr bool kScaled = false;
  using Element = float;
  static LULL_INLINE F32 Load(const Element* p) { return LoadF32(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreF32(p, a); }
};
// A value is Load times its block's scale: at most 7 by 11 bits, so exact.
struct KvI8 {
  static constexpr bool kScaled = true;
  using Element = int8_t;
  static LULL_INLINE F32 Load(const Element* p) { return ToF32(LoadI8AsI32(p)); }
};
constexpr size_t kScaleBlock = 32;  // values of a token that share a scale

// The scales of a page's K or V: [blocks][64].
LULL_INLINE const uint16_t* Scales(const int8_t* values, size_t head_dim) {
  return reinterpret_cast<const uint16_t*>(values + head_dim * kPageTokens);
}

}  // namespace
}  // namespace lull::LULL_ISA
