// Gated short convolution: in_proj gives b, c, x per token; a causal depth-wise convolution over
// b * x, of which the last taps - 1 values are the sequence's state; gated by c; out_proj.
#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "model/forward_state.h"

namespace lull {
namespace {

// Rows of conv_input before a run's own: the state, for each run up to it.
size_t InputRow(const ForwardState& s, size_t run) {
  return s.runs[run].row_begin + (run + 1) * static_cast<size_t>(s.h->conv_taps - 1);
}

void Gate(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const auto n = static_cast<size_t>(s.h->embedding);
  const auto state_rows = static_cast<size_t>(s.h->conv_taps - 1);
  ParallelFor(ctx, s.runs.size(), [&](size_t run, int) {
    float* input = s.conv_input + InputRow(s, run) * n;
    memcpy(input - state_rows * n, s.cache->state(s.runs[run].sequence, layer),
           state_rows * n * sizeof(float));
    for (size_t r = 0; r < s.runs[run].rows; ++r) {
      const float* b = s.q + (s.runs[run].row_begin + r) * 3 * n;
      const float* x = b + 2 * n;
      for (size_t i = 0; i < n; ++i) input[r * n + i] = b[i] * x[i];
      if (r % 16 == 15) ctx.Checkpoint();
    }
    memcpy(s.cache->next_state(s.runs[run].sequence, layer),
           input + s.runs[run].rows * n - state_rows * n, state_rows * n * sizeof(float));
  });
}

}  // namespace

void ShortConvBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last) {
  const LayerWeights& w = s.weights->layers[layer];
  const auto n = static_cast<size_t>(s.h->embedding);
  const auto taps = static_cast<size_t>(s.h->conv_taps);
  NormInput(ctx, s, w.attn_norm);
  const MatMulItem in{&w.conv_in, &s.normed, 0, s.rows, s.q, w.conv_in.rows};
  MatMul(ctx, *s.env, {&in, 1});
  Gate(ctx, s, layer);
  if (last) KeepActiveRows(s);

  const Kernels& kernels = s.env->kernels;
  s.mixed.rows = s.rows;
  s.mixed.k = n;
  // row -> its run, both ascending
  size_t run = 0;
  for (size_t i = 0; i < s.rows; ++i) {
    const auto row = static_cast<size_t>(s.active[i]);
    while (row >= s.runs[run].row_begin + s.runs[run].rows) ++run;
    s.conv_row[i] = static_cast<int32_t>(InputRow(s, run) + row - s.runs[run].row_begin);
  }
  const RowTiles tiles(ctx, s.rows, ElementwiseNs(kernels, (taps + 3) * n));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    float* conv = s.env->scratch.row(thread);
    const size_t end = std::min(s.rows, (tile + 1) * tiles.per_tile);
    for (size_t i = tile * tiles.per_tile; i < end; ++i) {
      const float* window = s.conv_input + (static_cast<size_t>(s.conv_row[i]) + 1 - taps) * n;
      kernels.short_conv(window, w.conv, taps, n, conv);
      const float* c = s.q + static_cast<size_t>(s.active[i]) * 3 * n + n;
      float* out = s.mixed.Row(i);
      for (size_t j = 0; j < n; ++j) out[j] = c[j] * conv[j];
      s.mixed.QuantizeRow(kernels, i, 0, n);
    }
  });
  const MatMulItem out{&w.conv_out, &s.mixed, 0, s.rows, s.delta, w.conv_out.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

}  // namespace lull
