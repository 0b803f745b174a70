// Per-layer embeddings (Gemma 3n and 4): beside the residual every layer gets some values of each
// token, from a table of its own and a projection of the token's embedding.
#include <cmath>

#include "model/forward_state.h"
#include "ops/embedding.h"

namespace lull {

void PerLayerInputs(const ExecContext& ctx, ForwardState& s, std::span<const int32_t> tokens) {
  const ModelWeights& w = *s.weights;
  const Kernels& kernels = s.env->kernels;
  const auto values = static_cast<size_t>(s.h->per_layer_embedding);
  const size_t all = values * static_cast<size_t>(s.h->num_layers);
  EmbedTokens(ctx, *s.env, w.per_layer_embd, tokens, std::sqrt(static_cast<float>(values)),
              s.per_layer);
  s.normed.SetReaders({&w.per_layer_projection});
  NormInput(ctx, s, nullptr);
  const MatMulItem project{&w.per_layer_projection, &s.normed, 0, s.rows,
                           s.per_layer_projected,   all};
  MatMul(ctx, *s.env, {&project, 1});
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.h->embedding));
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 6 * all), [&](size_t row, int) {
    float* projected = s.per_layer_projected + row * all;
    float* out = s.per_layer + row * all;
    kernels.mul_scalar(projected, scale, all, projected);
    for (size_t at = 0; at < all; at += values)
      kernels.rms_norm(projected + at, w.per_layer_norm, s.h->rms_eps, values, projected + at);
    kernels.add(projected, out, all, out);
    kernels.mul_scalar(out, std::sqrt(0.5f), all, out);
  });
}

void PerLayerBlock(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  const auto values = static_cast<size_t>(s.h->per_layer_embedding);
  const size_t all = values * static_cast<size_t>(s.h->num_layers);
  s.normed.SetReaders({&w.per_layer_gate});
  NormInput(ctx, s, nullptr);
  const MatMulItem gate{&w.per_layer_gate, &s.normed, 0, s.rows, s.per_layer_projected, values};
  MatMul(ctx, *s.env, {&gate, 1});
  s.gated.SetReaders({&w.per_layer_projection});
  s.gated.k = values;
  s.gated.rows = s.rows;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 10 * values), [&](size_t row, int) {
    const float* input = s.per_layer + static_cast<size_t>(s.active[row]) * all + layer * values;
    kernels.geglu(s.per_layer_projected + row * values, input, values, s.gated.Row(row));
    s.gated.QuantizeRow(kernels, row);
  });
  const MatMulItem out{&w.per_layer_projection,    &s.gated, 0, s.rows, s.delta,
                       w.per_layer_projection.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.per_layer_post_norm};
}

}  // namespace lull
