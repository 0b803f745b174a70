// Steps of recurrent states, one token at a time: the order of additions does not depend on how a
// sequence is cut. docs/design/arithmetic.md, "Recurrences".
#include "kernels/cpu/map-inl.h"
#include "kernels/cpu/math-inl.h"

namespace lull::LULL_ISA {
namespace {

struct SiluOp {
  LULL_INLINE F32 Apply(F32 x) const { return Silu(x); }
};
struct ExpOp {
  LULL_INLINE F32 Apply(F32 x) const { return Exp(x); }
};
struct SoftplusOp {
  LULL_INLINE F32 Apply(F32 x) const { return Softplus(x); }
};

// n is at most 16.
LULL_INLINE F32 LoadCount(const float* p, size_t n) {
  return n == 16 ? LoadF32(p) : LoadF32Partial(p, n);
}

// What a state's values at i become.
struct DiagonalUpdate {
  const float* rate;
  const float* b;
  float width, input;
  LULL_INLINE F32 Apply(F32 value, size_t i, size_t n) const {
    const F32 decay = Exp(Mul(Set1(width), LoadCount(rate + i, n)));
    return Fma(value, decay, Mul(LoadCount(b + i, n), Set1(input)));
  }
};
struct ScalarUpdate {
  const float* b;
  float decay, input;
  LULL_INLINE F32 Apply(F32 value, size_t i, size_t n) const {
    return Fma(value, Set1(decay), Mul(LoadCount(b + i, n), Set1(input)));
  }
};
struct DeltaUpdate {
  const float* k;
  float decay, correction;
  LULL_INLINE F32 Apply(F32 value, size_t i, size_t n) const {
    return Fma(LoadCount(k + i, n), Set1(correction), Mul(value, Set1(decay)));
  }
};

// Updates a state's row of n values; returns the sum of what it became times the weights.
template <typename Update>
LULL_INLINE float UpdateRow(float* state, const float* weight, size_t n, const Update& update) {
  F32 sum = ZeroF32();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F32 value = update.Apply(LoadF32(state + i), i, 16);
    StoreF32(state + i, value);
    sum = Fma(value, LoadF32(weight + i), sum);
  }
  if (i < n) {
    const F32 value = update.Apply(LoadF32Partial(state + i, n - i), i, n - i);
    StoreF32Partial(state + i, value, n - i);
    sum = Fma(value, LoadF32Partial(weight + i, n - i), sum);
  }
  return SumLanes(sum);
}

LULL_INLINE float Dot(const float* a, const float* b, size_t n) {
  F32 sum = ZeroF32();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) sum = Fma(LoadF32(a + i), LoadF32(b + i), sum);
  if (i < n) sum = Fma(LoadF32Partial(a + i, n - i), LoadF32Partial(b + i, n - i), sum);
  return SumLanes(sum);
}

}  // namespace

void SiluVector(const float* x, size_t n, float* out) { Map(x, n, out, SiluOp{}); }
void ExpVector(const float* x, size_t n, float* out) { Map(x, n, out, ExpOp{}); }
void SoftplusVector(const float* x, size_t n, float* out) { Map(x, n, out, SoftplusOp{}); }

void DiagonalScan(float* state, const float* rate, const float* width, const float* x,
                  const float* b, const float* c, size_t channels, size_t n, const float* skip,
                  float* y) {
  for (size_t i = 0; i < channels; ++i) {
    const DiagonalUpdate update{rate + i * n, b, width[i], x[i] * width[i]};
    y[i] = __builtin_fmaf(skip[i], x[i], UpdateRow(state + i * n, c, n, update));
  }
}

void ScalarScan(float* state, float decay, float width, const float* x, const float* b,
                const float* c, size_t dim, size_t n, float skip, float* y) {
  for (size_t i = 0; i < dim; ++i) {
    const ScalarUpdate update{b, decay, x[i] * width};
    y[i] = __builtin_fmaf(skip, x[i], UpdateRow(state + i * n, c, n, update));
  }
}

void DeltaStep(float* state, float decay, float share, const float* q, const float* k,
               const float* v, size_t dim, float* out) {
  for (size_t i = 0; i < dim; ++i) {
    float* row = state + i * dim;
    const DeltaUpdate update{k, decay, (v[i] - decay * Dot(row, k, dim)) * share};
    out[i] = UpdateRow(row, q, dim, update);
  }
}

}  // namespace lull::LULL_ISA
