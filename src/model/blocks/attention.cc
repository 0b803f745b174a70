#include <cstring>

#include "model/forward_state.h"

namespace lull {
namespace {

HeadShape ShapeOf(const Hparams& h, const LayerPlan& plan) {
  return {static_cast<size_t>(h.num_heads), static_cast<size_t>(plan.kv_heads),
          static_cast<size_t>(plan.head_dim)};
}

// Q's projection gives [head_dim] of Q and [head_dim] of a gate for each head in turn: they part.
void SplitGates(const ExecContext& ctx, ForwardState& s, const HeadShape& shape) {
  const size_t heads = shape.num_heads, dim = shape.head_dim;
  ForRows(ctx, s.rows, ElementwiseNs(s.env->kernels, 2 * heads * dim), [&](size_t row, int) {
    float* both = s.gate + row * 2 * heads * dim;
    float* q = s.q + row * shape.q_stride();
    for (size_t h = 0; h < heads; ++h) {
      memcpy(q + h * dim, both + 2 * h * dim, dim * sizeof(float));
      memmove(both + h * dim, both + (2 * h + 1) * dim, dim * sizeof(float));
    }
  });
}

// What attention gave, times the sigmoid of its gates.
void ApplyGates(const ExecContext& ctx, ForwardState& s) {
  const size_t n = s.mixed.k;
  ForRows(ctx, s.rows, ElementwiseNs(s.env->kernels, 4 * n), [&](size_t i, int) {
    float* gate = s.gate + static_cast<size_t>(s.active[i]) * 2 * n;
    s.env->kernels.sigmoid(gate, n, gate);
    float* out = s.mixed.Row(i);
    for (size_t j = 0; j < n; ++j) out[j] *= gate[j];
  });
}

// K and V of layers that have their own; V is K where the layer has no projection for it.
void ProjectQkv(const ExecContext& ctx, ForwardState& s, const LayerWeights& w,
                const LayerPlan& plan) {
  const auto item = [&](const PackedMatrix& m, float* out, size_t stride) {
    return MatMulItem{&m, &s.normed, 0, s.normed.rows, out, stride};
  };
  const HeadShape shape = ShapeOf(*s.h, plan);
  const bool gated = s.architecture->gated_attention;
  const MatMulItem items[] = {
      gated ? item(w.q, s.gate, w.q.rows) : item(w.q, s.q, shape.q_stride()),
      item(w.k, s.k, w.k.rows), item(w.v, s.v, w.v.rows)};
  const bool own_kv = plan.kv_source < 0, own_v = own_kv && w.v.format != nullptr;
  MatMul(ctx, *s.env, std::span(items).first(own_v ? 3 : own_kv ? 2 : 1));
  if (own_kv && !own_v) memcpy(s.v, s.k, s.rows * w.k.rows * sizeof(float));
  if (gated) SplitGates(ctx, s, shape);
}

}  // namespace

void AttentionBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const LayerPlan& plan = s.h->layers[layer];
  s.normed.SetReaders({&w.q});
  for (const PackedMatrix* m : {&w.k, &w.v})
    if (m->format != nullptr) s.normed.AddReader(*m);
  NormInput(ctx, s, w.attn_norm);
  ProjectQkv(ctx, s, w, plan);

  RotateStoreArgs rotate;
  rotate.shape = ShapeOf(*s.h, plan);
  const HeadShape shape = rotate.shape;
  if (plan.kv_source >= 0) rotate.shape.num_kv_heads = 0;  // nothing to store
  rotate.q = s.q;
  rotate.k = s.k;
  rotate.v = s.v;
  rotate.q_bias = w.q_bias;
  rotate.k_bias = w.k_bias;
  rotate.v_bias = w.v_bias;
  rotate.q_norm = w.q_norm;
  rotate.k_norm = w.k_norm;
  rotate.norm_values = s.architecture->norm_values;
  rotate.whole_norms = s.architecture->whole_head_norms;
  rotate.eps = s.h->rms_eps;
  rotate.cos = s.cos[plan.local_rope];
  rotate.sin = s.sin[plan.local_rope];
  rotate.half = plan.rope ? static_cast<size_t>(plan.rope_dims) / 2 : 0;
  rotate.q_scale = s.q_scale;
  rotate.neox = s.architecture->rope_neox;
  rotate.kv = UseKv(s, layer);
  RotateAndStore(ctx, *s.env, s.places, rotate);
  if (last) KeepActiveRows(s);

  AttentionOpArgs attend;
  attend.shape = shape;
  attend.q = s.q;
  attend.scale = s.h->attention_scale;
  attend.softcap = s.h->attention_softcap;
  attend.sinks = w.sinks;
  attend.window = plan.window;
  attend.kv = rotate.kv;
  attend.out = &s.mixed;
  Attention(ctx, *s.env, s.places, std::span(s.active).first(s.rows), attend);
  if (s.architecture->gated_attention) ApplyGates(ctx, s);
  s.mixed.SetReaders({&w.o});
  QuantizeRows(ctx, *s.env, &s.mixed);
  const MatMulItem out{&w.o, &s.mixed, 0, s.rows, s.delta, w.o.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, w.o_bias, w.attn_post_norm};
}

}  // namespace lull
