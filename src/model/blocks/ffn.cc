#include <utility>

#include "model/forward_state.h"

namespace lull {

void FfnBlock(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const LayerWeights& w = s.weights->layers[layer];
  s.normed.SetReaders({&w.gate, &w.up});
  NormInput(ctx, s, w.ffn_norm);
  s.gated.SetReaders({&w.down});
  s.gated.k = w.gate.rows;
  s.gated.rows = s.rows;
  const GatedItem gated{&w.gate, &w.up, &s.normed, 0, s.rows};
  GatedMatMul(ctx, *s.env, {&gated, 1}, ActivationOf(s), &s.gated);
  const MatMulItem down{&w.down, &s.gated, 0, s.rows, s.delta, w.down.rows};
  MatMul(ctx, *s.env, {&down, 1});
  s.pending = {s.delta, nullptr, w.ffn_post_norm};
}

void ParallelFfnBlock(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const auto n = static_cast<size_t>(s.h->embedding);
  const PendingDelta attention = s.pending;
  std::swap(s.delta, s.dense);  // the network writes where attention's output is not
  s.pending = {};
  FfnBlock(ctx, s, layer);
  ForRows(ctx, s.rows, ElementwiseNs(s.env->kernels, 3 * n), [&](size_t row, int) {
    float* out = s.delta + row * n;
    s.env->kernels.add(out, attention.delta + row * n, n, out);
  });
}

}  // namespace lull
