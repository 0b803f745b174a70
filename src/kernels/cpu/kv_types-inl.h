// KV element types as template parameters: widened exactly, narrowed to nearest even.
namespace lull::LULL_ISA {
namespace {

struct KvF16 {
  using Element = uint16_t;
  static LULL_INLINE F32 Load(const Element* p) { return LoadF16(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreF16(p, a); }
};
struct KvBf16 {
  using Element = uint16_t;
  static LULL_INLINE F32 Load(const Element* p) { return LoadBf16(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreBf16(p, a); }
};
struct KvF32 {
  using Element = float;
  static LULL_INLINE F32 Load(const Element* p) { return LoadF32(p); }
  static LULL_INLINE void Store(Element* p, F32 a) { StoreF32(p, a); }
};

}  // namespace
}  // namespace lull::LULL_ISA
