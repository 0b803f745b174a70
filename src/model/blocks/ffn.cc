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

}  // namespace lull
