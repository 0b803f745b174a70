// Gated delta net (Yang, Kautz and Hatamizadeh, 2024): a head's state is a matrix that decays, and
// is corrected by what it would have answered to the key. Q, K and V go through a convolution
// first.
#include <cmath>

#include "base/thread_pool.h"
#include "model/blocks/state_scan.h"

namespace lull {
namespace {

struct DeltaShape {
  size_t head_dim, k_heads, v_heads;
  explicit DeltaShape(const Hparams& h)
      : head_dim(Size(h.ssm_state)),
        k_heads(Size(h.ssm_groups)),
        v_heads(Size(h.ssm_time_step_rank)) {}
  size_t keys() const { return head_dim * k_heads; }
  size_t values() const { return head_dim * v_heads; }
  size_t channels() const { return 2 * keys() + values(); }
};

// s.q: [rows, channels] before the convolution; s.gate: [rows, values]; s.dt: [rows, 2 v_heads],
// decays and then the share that is corrected.
void Project(const ExecContext& ctx, ForwardState& s, const LayerWeights& w,
             const DeltaShape& shape) {
  s.normed.SetReaders({&w.conv_in, &w.attn_gate, &w.delta_alpha, &w.delta_beta});
  NormInput(ctx, s, w.attn_norm);
  const auto item = [&](const PackedMatrix& m, float* out, size_t stride) {
    return MatMulItem{&m, &s.normed, 0, s.rows, out, stride};
  };
  const size_t heads = shape.v_heads;
  const MatMulItem items[] = {
      item(w.conv_in, s.q, shape.channels()), item(w.attn_gate, s.gate, shape.values()),
      item(w.delta_alpha, s.dt, 2 * heads), item(w.delta_beta, s.dt + heads, 2 * heads)};
  MatMul(ctx, *s.env, items);
  const Kernels& kernels = s.env->kernels;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 20 * heads), [&](size_t row, int) {
    float* decay = s.dt + row * 2 * heads;
    float* share = decay + heads;
    kernels.add(decay, w.ssm_dt_bias, heads, decay);
    kernels.softplus(decay, heads, decay);
    for (size_t i = 0; i < heads; ++i) decay[i] *= w.ssm_a[i];
    kernels.exp(decay, heads, decay);
    kernels.sigmoid(share, heads, share);
  });
}

// s.conv_out: Q and K of length 1 (Q over sqrt(head_dim) beside), V.
void Convolve(const ExecContext& ctx, ForwardState& s, size_t layer, const DeltaShape& shape) {
  const Kernels& kernels = s.env->kernels;
  const size_t channels = shape.channels(), dim = shape.head_dim;
  ConvolveRows(ctx, s, layer, channels, 0, channels);
  const float to_length_1 = 1.0f / std::sqrt(static_cast<float>(dim));
  const float eps = s.h->rms_eps / static_cast<float>(dim);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 6 * shape.keys()), [&](size_t row, int) {
    float* out = s.conv_out + row * channels;
    for (size_t at = 0; at < 2 * shape.keys(); at += dim)
      kernels.rms_norm(out + at, nullptr, eps, dim, out + at);
    kernels.mul_scalar(out, to_length_1 * to_length_1, shape.keys(), out);
    kernels.mul_scalar(out + shape.keys(), to_length_1, shape.keys(), out + shape.keys());
  });
}

}  // namespace

void DeltaNetBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  const DeltaShape shape(*s.h);
  const size_t dim = shape.head_dim, channels = shape.channels();
  Project(ctx, s, w, shape);
  Convolve(ctx, s, layer, shape);
  ScanShape scan;
  scan.conv_floats = ConvStateFloats(*s.h, channels);
  scan.heads = shape.v_heads;
  scan.head_floats = dim * dim;
  scan.ns_per_row = ElementwiseNs(kernels, 5 * scan.head_floats);
  ScanStates(ctx, s, layer, scan, [&](float* state, size_t row, size_t head) {
    const float* q = s.conv_out + row * channels + head % shape.k_heads * dim;
    float* v = s.conv_out + row * channels + 2 * shape.keys() + head * dim;
    const float* decay = s.dt + row * 2 * shape.v_heads + head;
    kernels.delta_step(state, decay[0], decay[shape.v_heads], q, q + shape.keys(), v, dim, v);
  });
  s.mixed.SetReaders({&w.conv_out});
  if (last) KeepActiveRows(s);
  s.mixed.rows = s.rows;
  s.mixed.k = shape.values();
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 8 * shape.values()), [&](size_t i, int thread) {
    const auto row = Size(s.active[i]);
    float* normed = s.env->scratch.row(thread);
    const float* values = s.conv_out + row * channels + 2 * shape.keys();
    for (size_t at = 0; at < shape.values(); at += dim)
      kernels.rms_norm(values + at, w.ssm_norm, s.h->rms_eps, dim, normed + at);
    kernels.swiglu(s.gate + row * shape.values(), normed, shape.values(), s.mixed.Row(i));
    s.mixed.QuantizeRow(kernels, i);
  });
  const MatMulItem out{&w.conv_out, &s.mixed, 0, s.rows, s.delta, w.conv_out.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

}  // namespace lull
