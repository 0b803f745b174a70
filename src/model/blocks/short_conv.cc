// Gated short convolution: in_proj gives b, c, x per token; a causal depth-wise convolution over
// b * x, of which the last taps - 1 values are the sequence's state; gated by c; out_proj.
#include <algorithm>

#include "base/thread_pool.h"
#include "model/blocks/causal_conv.h"

namespace lull {
namespace {

// Row r of the batch becomes b * x in conv_input.
void GateRow(const ForwardState& s, size_t row) {
  const auto n = static_cast<size_t>(s.h->embedding);
  float* input = ConvInput(s, row, n);
  const float* b = s.q + row * 3 * n;
  const float* x = b + 2 * n;
  for (size_t i = 0; i < n; ++i) input[i] = b[i] * x[i];
}

}  // namespace

void ShortConvBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const auto n = static_cast<size_t>(s.h->embedding);
  const auto taps = static_cast<size_t>(s.h->conv_taps);
  s.normed.SetReaders({&w.conv_in});
  s.mixed.SetReaders({&w.conv_out});
  NormInput(ctx, s, w.attn_norm);
  const MatMulItem in{&w.conv_in, &s.normed, 0, s.rows, s.q, w.conv_in.rows};
  MatMul(ctx, *s.env, {&in, 1});
  LoadConvStates(s, layer, n);
  const Kernels& kernels = s.env->kernels;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 2 * n), [&](size_t row, int) { GateRow(s, row); });
  SaveConvStates(s, layer, n);
  if (last) KeepActiveRows(s);

  s.mixed.rows = s.rows;
  s.mixed.k = n;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, (taps + 3) * n), [&](size_t i, int thread) {
    float* conv = s.env->scratch.row(thread);
    const auto row = static_cast<size_t>(s.active[i]);
    kernels.short_conv(ConvWindow(s, row, n), w.conv, taps, n, conv);
    const float* c = s.q + row * 3 * n + n;
    float* out = s.mixed.Row(i);
    for (size_t j = 0; j < n; ++j) out[j] = c[j] * conv[j];
    s.mixed.QuantizeRow(kernels, i);
  });
  const MatMulItem out{&w.conv_out, &s.mixed, 0, s.rows, s.delta, w.conv_out.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

}  // namespace lull
