// Sums and scalings.
#include "kernels/cpu/map-inl.h"

namespace lull::LULL_ISA {
namespace {

struct AddOp {
  LULL_INLINE F32 Apply(F32 a, F32 b) const { return Add(a, b); }
};
struct MulScalarOp {
  float s;
  LULL_INLINE F32 Apply(F32 x) const { return Mul(x, Set1(s)); }
};
struct FmaScalarOp {
  float s;
  LULL_INLINE F32 Apply(F32 x, F32 out) const { return Fma(x, Set1(s), out); }
};

}  // namespace

void AddVectors(const float* a, const float* b, size_t n, float* out) {
  Map2(a, b, n, out, AddOp{});
}
void MulScalar(const float* x, float s, size_t n, float* out) { Map(x, n, out, MulScalarOp{s}); }
void FmaScalar(const float* x, float s, size_t n, float* out) {
  Map2(x, out, n, out, FmaScalarOp{s});
}

}  // namespace lull::LULL_ISA
