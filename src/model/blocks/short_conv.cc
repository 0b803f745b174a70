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

// Row r of the batch becomes b * x in conv_input.
void GateRow(const ForwardState& s, size_t row) {
  const auto n = static_cast<size_t>(s.h->embedding);
  float* input = s.conv_input + static_cast<size_t>(s.conv_row[row]) * n;
  const float* b = s.q + row * 3 * n;
  const float* x = b + 2 * n;
  for (size_t i = 0; i < n; ++i) input[i] = b[i] * x[i];
}

// Fills conv_input: each run's state, then its rows.
void Gate(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const auto n = static_cast<size_t>(s.h->embedding);
  const auto state_rows = static_cast<size_t>(s.h->conv_taps - 1);
  for (size_t run = 0; run < s.runs.size(); ++run) {
    const size_t first = InputRow(s, run);
    memcpy(s.conv_input + (first - state_rows) * n, s.cache->state(s.runs[run].sequence, layer),
           state_rows * n * sizeof(float));
    for (size_t r = 0; r < s.runs[run].rows; ++r)
      s.conv_row[s.runs[run].row_begin + r] = static_cast<int32_t>(first + r);
  }
  const RowTiles tiles(ctx, s.rows, ElementwiseNs(s.env->kernels, 2 * n));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(s.rows, (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row) GateRow(s, row);
  });
}

// The state after so many of a run's rows: the last taps - 1 of them.
void CopyStateAfter(const ForwardState& s, size_t run, size_t rows, float* state) {
  const auto n = static_cast<size_t>(s.h->embedding);
  const auto state_rows = static_cast<size_t>(s.h->conv_taps - 1);
  memcpy(state, s.conv_input + (InputRow(s, run) + rows - state_rows) * n,
         state_rows * n * sizeof(float));
}

void SaveStates(ForwardState& s, size_t layer) {
  for (size_t run = 0; run < s.runs.size(); ++run) {
    const int sequence = s.runs[run].sequence;
    CopyStateAfter(s, run, s.runs[run].rows, s.cache->next_state(sequence, layer));
    for (size_t i = 0; i < s.cache->num_snapshots(sequence); ++i) {
      float* snapshot = s.cache->snapshot(sequence, i, layer);
      if (snapshot != nullptr)
        CopyStateAfter(s, run, s.cache->snapshot_rows(sequence, i), snapshot);
    }
  }
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
  Gate(ctx, s, layer);
  SaveStates(s, layer);
  if (last) KeepActiveRows(s);

  const Kernels& kernels = s.env->kernels;
  s.mixed.rows = s.rows;
  s.mixed.k = n;
  const RowTiles tiles(ctx, s.rows, ElementwiseNs(kernels, (taps + 3) * n));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    float* conv = s.env->scratch.row(thread);
    const size_t end = std::min(s.rows, (tile + 1) * tiles.per_tile);
    for (size_t i = tile * tiles.per_tile; i < end; ++i) {
      const auto row = static_cast<size_t>(s.active[i]);
      const float* window = s.conv_input + (static_cast<size_t>(s.conv_row[row]) + 1 - taps) * n;
      kernels.short_conv(window, w.conv, taps, n, conv);
      const float* c = s.q + row * 3 * n + n;
      float* out = s.mixed.Row(i);
      for (size_t j = 0; j < n; ++j) out[j] = c[j] * conv[j];
      s.mixed.QuantizeRow(kernels, i);
    }
  });
  const MatMulItem out{&w.conv_out, &s.mixed, 0, s.rows, s.delta, w.conv_out.rows};
  MatMul(ctx, *s.env, {&out, 1});
  s.pending = {s.delta, nullptr, w.attn_post_norm};
}

}  // namespace lull
