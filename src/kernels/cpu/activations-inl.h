// Gated activations, sigmoid and soft capping. docs/design/arithmetic.md, "Exponential".
#include "kernels/cpu/map-inl.h"
#include "kernels/cpu/math-inl.h"

namespace lull::LULL_ISA {
namespace {

struct SwiGluOp {
  LULL_INLINE F32 Apply(F32 gate, F32 up) const { return Mul(Silu(gate), up); }
};
struct GeGluOp {
  LULL_INLINE F32 Apply(F32 gate, F32 up) const { return Mul(GeluTanh(gate), up); }
};
struct ClampedSwiGluOp {
  LULL_INLINE F32 Apply(F32 gate, F32 up) const {
    const F32 limit = Set1(7.0f);
    const F32 g = Min(gate, limit);
    const F32 u = Max(Min(up, limit), Set1(-7.0f));
    return Mul(GatedBySigmoid(g, Mul(g, Set1(1.702f))), Add(u, Set1(1.0f)));
  }
};
struct SigmoidOp {
  LULL_INLINE F32 Apply(F32 x) const { return Sigmoid(x); }
};
struct SoftCapOp {
  float cap;
  LULL_INLINE F32 Apply(F32 x) const { return Mul(Set1(cap), Tanh(Div(x, Set1(cap)))); }
};

}  // namespace

void SwiGlu(const float* gate, const float* up, size_t n, float* out) {
  Map2(gate, up, n, out, SwiGluOp{});
}
void GeGlu(const float* gate, const float* up, size_t n, float* out) {
  Map2(gate, up, n, out, GeGluOp{});
}
void ClampedSwiGlu(const float* gate, const float* up, size_t n, float* out) {
  Map2(gate, up, n, out, ClampedSwiGluOp{});
}
void SigmoidVector(const float* x, size_t n, float* out) { Map(x, n, out, SigmoidOp{}); }
void SoftCap(const float* x, float cap, size_t n, float* out) { Map(x, n, out, SoftCapOp{cap}); }

}  // namespace lull::LULL_ISA
