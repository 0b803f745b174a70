// Multi-head latent attention (DeepSeek V2): what is kept of a token is a latent, normed, and one
// rotated key for all heads. Q goes through k_b into the latent's space, and what is read of the
// latents through v_b into that of the values, so attention is one of many query heads over one KV
// head. V is stored as K is: its rotated part is read and left.
#include <cstring>

#include "model/forward_state.h"

namespace lull {
namespace {

struct LatentShape {
  size_t heads, key, value, latent, rotated, head;
  explicit LatentShape(const Hparams& h)
      : heads(Size(h.num_heads)),
        key(Size(h.latent_key)),
        value(Size(h.latent_value)),
        latent(Size(h.kv_rank)),
        rotated(Size(h.rope_dims)),
        head(latent + rotated) {}
};

// Q in s.gate, [rows, heads * key]; latents and rotated keys in s.k.
void Project(const ExecContext& ctx, ForwardState& s, const LayerWeights& w,
             const LatentShape& shape) {
  const bool two_steps = w.q_a.format != nullptr;
  const PackedMatrix& first = two_steps ? w.q_a : w.q;
  s.normed.SetReaders({&first, &w.kv_a});
  NormInput(ctx, s, w.attn_norm);
  float* out = two_steps ? s.low_rank.f32 : s.gate;
  const MatMulItem items[] = {{&first, &s.normed, 0, s.rows, out, first.rows},
                              {&w.kv_a, &s.normed, 0, s.rows, s.k, shape.head}};
  MatMul(ctx, *s.env, items);
  if (!two_steps) return;
  s.low_rank.k = w.q_a.rows;
  s.low_rank.rows = s.rows;
  s.low_rank.SetReaders({&w.q});
  const Kernels& kernels = s.env->kernels;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 3 * s.low_rank.k), [&](size_t row, int) {
    float* q = s.low_rank.Row(row);
    kernels.rms_norm(q, w.q_a_norm, s.h->rms_eps, s.low_rank.k, q);
    s.low_rank.QuantizeRow(kernels, row);
  });
  const MatMulItem q{&w.q, &s.low_rank, 0, s.rows, s.gate, w.q.rows};
  MatMul(ctx, *s.env, {&q, 1});
}

// For each head its rows of `width` values, from source(row) + head * stride, through its matrix to
// out + head * out_width. `rows` rows of out_stride values.
template <typename Source>
void ProjectHeads(const ExecContext& ctx, ForwardState& s,
                  const std::vector<PackedMatrix>& matrices, size_t width, size_t stride,
                  Source&& source, float* out, size_t out_width, size_t out_stride) {
  const Kernels& kernels = s.env->kernels;
  const size_t heads = matrices.size(), rows = s.rows;
  s.low_rank.k = width;
  s.low_rank.rows = heads * rows;
  s.low_rank.SetReaders({&matrices[0]});
  ForRows(ctx, rows, ElementwiseNs(kernels, 3 * heads * width), [&](size_t row, int) {
    for (size_t h = 0; h < heads; ++h) {
      memcpy(s.low_rank.Row(h * rows + row), source(row) + h * stride, width * sizeof(float));
      s.low_rank.QuantizeRow(kernels, h * rows + row);
    }
  });
  s.matmul_items.clear();
  s.head_parts.clear();
  for (size_t h = 0; h < heads; ++h) s.head_parts.push_back(s.low_rank.Part(h * rows, rows));
  for (size_t h = 0; h < heads; ++h)
    s.matmul_items.push_back(
        {&matrices[h], &s.head_parts[h], 0, rows, out + h * out_width, out_stride});
  MatMul(ctx, *s.env, s.matmul_items);
}

// The rotated part of Q, and K complete.
void Rotate(const ExecContext& ctx, ForwardState& s, const LayerWeights& w,
            const LatentShape& shape) {
  const Kernels& kernels = s.env->kernels;
  const size_t half = shape.rotated / 2, still = shape.key - shape.rotated;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 4 * shape.head + 3 * shape.heads * shape.rotated),
          [&](size_t row, int) {
            const float* cos = s.cos[0] + row * half;
            const float* sin = s.sin[0] + row * half;
            for (size_t h = 0; h < shape.heads; ++h) {
              float* q = s.q + (row * shape.heads + h) * shape.head + shape.latent;
              memcpy(q, s.gate + (row * shape.heads + h) * shape.key + still,
                     shape.rotated * sizeof(float));
              kernels.rope(q, cos, sin, half, s.architecture->rope_neox);
            }
            float* k = s.k + row * shape.head;
            kernels.rms_norm(k, w.kv_a_norm, s.h->rms_eps, shape.latent, k);
            kernels.rope(k + shape.latent, cos, sin, half, s.architecture->rope_neox);
            memcpy(s.v + row * shape.head, k, shape.head * sizeof(float));
          });
}

}  // namespace

void LatentAttentionBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const LatentShape shape(*s.h);
  Project(ctx, s, w, shape);
  const size_t q_stride = shape.heads * shape.head;
  ProjectHeads(
      ctx, s, w.k_b, shape.key - shape.rotated, shape.key,
      [&](size_t row) { return s.gate + row * shape.heads * shape.key; }, s.q, shape.head,
      q_stride);
  Rotate(ctx, s, w, shape);

  RotateStoreArgs store;
  store.shape = {0, 1, shape.head};
  store.q = s.q;
  store.k = s.k;
  store.v = s.v;
  store.kv = UseKv(s, layer);
  RotateAndStore(ctx, *s.env, s.places, store);
  if (last) KeepActiveRows(s);

  AttentionOpArgs attend;
  attend.shape = {shape.heads, 1, shape.head};
  attend.q = s.q;
  attend.scale = s.h->attention_scale;
  attend.kv = store.kv;
  attend.out = &s.mixed;
  Attention(ctx, *s.env, s.places, std::span(s.active).first(s.rows), attend);
  // Values go to s.gate: Q is not needed any more.
  const size_t values = shape.heads * shape.value;
  ProjectHeads(
      ctx, s, w.v_b, shape.latent, shape.head,
      [&](size_t row) { return s.mixed.f32 + row * q_stride; }, s.gate, shape.value, values);
  s.mixed.k = values;
  s.mixed.rows = s.rows;
  memcpy(s.mixed.f32, s.gate, s.rows * values * sizeof(float));
  s.mixed.SetReaders({&w.o});
  QuantizeRows(ctx, *s.env, &s.mixed);
  const MatMulItem out{&w.o, &s.mixed, 0, s.rows, s.delta, w.o.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

}  // namespace lull
