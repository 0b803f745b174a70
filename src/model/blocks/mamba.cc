// Selective state spaces. Mamba (Gu and Dao, 2023): every channel has a state of `ssm_state` values
// that decay each at its own rate; the step's width comes out of a low-rank projection. Mamba 2
// (Dao and Gu, 2024): channels form heads, which decay at one rate; the input projection gives B, C
// and the widths too.
#include "base/thread_pool.h"
#include "model/blocks/state_scan.h"

namespace lull {
namespace {

constexpr size_t kChannels = 16;  // of Mamba that are scanned together

void ProjectIn(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  s.normed.SetReaders({&w.conv_in});
  NormInput(ctx, s, w.attn_norm);
  const MatMulItem in{&w.conv_in, &s.normed, 0, s.rows, s.q, w.conv_in.rows};
  MatMul(ctx, *s.env, {&in, 1});
}

// Of the rows that go on: finish(source row, out) fills rows of s.mixed; then the output
// projection.
template <typename Finish>
void ProjectOut(const ExecContext& ctx, ForwardState& s, const LayerWeights& w, bool last,
                Finish&& finish) {
  const Kernels& kernels = s.env->kernels;
  const size_t inner = Size(s.h->ssm_inner);
  s.mixed.SetReaders({&w.conv_out});
  if (last) KeepActiveRows(s);
  s.mixed.rows = s.rows;
  s.mixed.k = inner;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 6 * inner), [&](size_t i, int) {
    finish(Size(s.active[i]), s.mixed.Row(i));
    s.mixed.QuantizeRow(kernels, i);
  });
  const MatMulItem out{&w.conv_out, &s.mixed, 0, s.rows, s.delta, w.conv_out.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

// dt, B and C of every row: what is convolved goes through ssm_x, its first `rank` values through
// ssm_dt. Leaves widths in s.dt [rows, inner] and B, C in s.k [rows, rank + 2 state].
void ProjectSteps(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  const Kernels& kernels = s.env->kernels;
  const size_t inner = Size(s.h->ssm_inner), rank = Size(s.h->ssm_time_step_rank);
  s.mixed.SetReaders({&w.ssm_x});
  s.mixed.rows = s.rows;
  s.mixed.k = inner;
  memcpy(s.mixed.f32, s.conv_out, s.rows * inner * sizeof(float));
  QuantizeRows(ctx, *s.env, &s.mixed);
  const MatMulItem x{&w.ssm_x, &s.mixed, 0, s.rows, s.k, w.ssm_x.rows};
  MatMul(ctx, *s.env, {&x, 1});
  s.low_rank.SetReaders({&w.ssm_dt});
  s.low_rank.rows = s.rows;
  s.low_rank.k = rank;
  for (size_t row = 0; row < s.rows; ++row)
    memcpy(s.low_rank.Row(row), s.k + row * w.ssm_x.rows, rank * sizeof(float));
  QuantizeRows(ctx, *s.env, &s.low_rank);
  const MatMulItem dt{&w.ssm_dt, &s.low_rank, 0, s.rows, s.dt, inner};
  MatMul(ctx, *s.env, {&dt, 1});
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 8 * inner), [&](size_t row, int) {
    float* widths = s.dt + row * inner;
    kernels.add(widths, w.ssm_dt_bias, inner, widths);
    kernels.softplus(widths, inner, widths);
  });
}

}  // namespace

void MambaBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  const size_t inner = Size(s.h->ssm_inner), n = Size(s.h->ssm_state);
  const size_t rank = Size(s.h->ssm_time_step_rank);
  ProjectIn(ctx, s, w);
  ConvolveRows(ctx, s, layer, 2 * inner, 0, inner);
  ProjectSteps(ctx, s, w);
  ScanShape shape;
  shape.conv_floats = ConvStateFloats(*s.h, inner);
  shape.heads = inner / kChannels;
  shape.head_floats = kChannels * n;
  shape.ns_per_row = ElementwiseNs(kernels, 12 * shape.head_floats);
  ScanStates(ctx, s, layer, shape, [&](float* state, size_t row, size_t head) {
    const size_t at = head * kChannels;
    float* x = s.conv_out + row * inner + at;
    const float* b = s.k + row * (rank + 2 * n) + rank;
    kernels.diagonal_scan(state, w.ssm_a + at * n, s.dt + row * inner + at, x, b, b + n, kChannels,
                          n, w.ssm_d + at, x);
  });
  ProjectOut(ctx, s, w, last, [&](size_t row, float* out) {
    kernels.swiglu(s.q + row * 2 * inner + inner, s.conv_out + row * inner, inner, out);
  });
}

void Mamba2Block(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  const Hparams& h = *s.h;
  const size_t inner = Size(h.ssm_inner), n = Size(h.ssm_state), groups = Size(h.ssm_groups);
  const size_t heads = Size(h.ssm_time_step_rank), dim = inner / heads;
  const size_t channels = inner + 2 * groups * n, stride = w.conv_in.rows;
  ProjectIn(ctx, s, w);
  ConvolveRows(ctx, s, layer, stride, inner, channels);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 20 * heads), [&](size_t row, int) {
    float* width = s.dt + row * 2 * heads;
    float* decay = width + heads;
    kernels.add(s.q + row * stride + inner + channels, w.ssm_dt_bias, heads, width);
    kernels.softplus(width, heads, width);
    for (size_t i = 0; i < heads; ++i) decay[i] = width[i] * w.ssm_a[i];
    kernels.exp(decay, heads, decay);
  });
  ScanShape shape;
  shape.conv_floats = ConvStateFloats(h, channels);
  shape.heads = heads;
  shape.head_floats = dim * n;
  shape.ns_per_row = ElementwiseNs(kernels, 3 * shape.head_floats);
  ScanStates(ctx, s, layer, shape, [&](float* state, size_t row, size_t head) {
    float* x = s.conv_out + row * channels + head * dim;
    const float* b = s.conv_out + row * channels + inner + head / (heads / groups) * n;
    const float* width = s.dt + row * 2 * heads + head;
    kernels.scalar_scan(state, width[heads], width[0], x, b, b + groups * n, dim, n, w.ssm_d[head],
                        x);
  });
  const size_t group = inner / groups;
  ProjectOut(ctx, s, w, last, [&](size_t row, float* out) {
    kernels.swiglu(s.q + row * stride, s.conv_out + row * channels, inner, out);
    for (size_t at = 0; at < inner && w.ssm_norm != nullptr; at += group)
      kernels.rms_norm(out + at, w.ssm_norm + at, h.rms_eps, group, out + at);
  });
}

}  // namespace lull
