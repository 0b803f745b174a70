#include <cstring>

#include "model/forward_state.h"

namespace lull {

void NormInput(const ExecContext& ctx, ForwardState& s, const float* norm) {
  ResidualNormArgs args;
  args.x = s.x;
  args.rows = s.rows;
  args.n = static_cast<size_t>(s.h->embedding);
  args.delta = s.pending.delta;
  args.delta_bias = s.pending.bias;
  args.delta_norm = s.pending.norm;
  args.delta_scale = s.h->residual_scale;
  args.x_scale = s.pending.x_scale;
  args.norm = norm;
  args.eps = s.h->rms_eps;
  args.out = &s.normed;
  ResidualNorm(ctx, *s.env, args);
  s.pending = {};
}

GatedFn ActivationOf(const ForwardState& s) {
  const Kernels& kernels = s.env->kernels;
  switch (s.architecture->gate) {
    case GateFn::kSilu:
      return kernels.swiglu;
    case GateFn::kGelu:
      return kernels.geglu;
    case GateFn::kClampedSilu:
      return kernels.clamped_swiglu;
  }
  return kernels.swiglu;
}

void KeepActiveRows(ForwardState& s) {
  const size_t n = static_cast<size_t>(s.h->embedding);
  for (size_t i = 0; i < s.active.size(); ++i) {
    const auto from = static_cast<size_t>(s.active[i]);
    if (from != i) memcpy(s.x + i * n, s.x + from * n, n * sizeof(float));
  }
  s.rows = s.active.size();
}

}  // namespace lull
