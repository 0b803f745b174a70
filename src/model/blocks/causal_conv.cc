#include "model/blocks/causal_conv.h"

#include <cstring>

namespace lull {
namespace {

// Rows of conv_input before a run's own: the state, for each run up to it.
size_t InputRow(const ForwardState& s, size_t run) {
  return s.runs[run].row_begin + (run + 1) * static_cast<size_t>(s.h->conv_taps - 1);
}

// The state after so many of a run's rows: the last taps - 1 of them.
void CopyStateAfter(const ForwardState& s, size_t run, size_t rows, size_t channels, float* state) {
  const auto state_rows = static_cast<size_t>(s.h->conv_taps - 1);
  memcpy(state, s.conv_input + (InputRow(s, run) + rows - state_rows) * channels,
         state_rows * channels * sizeof(float));
}

}  // namespace

void LoadConvStates(ForwardState& s, size_t layer, size_t channels) {
  const auto state_rows = static_cast<size_t>(s.h->conv_taps - 1);
  for (size_t run = 0; run < s.runs.size(); ++run) {
    const size_t first = InputRow(s, run);
    memcpy(s.conv_input + (first - state_rows) * channels,
           s.cache->state(s.runs[run].sequence, layer), state_rows * channels * sizeof(float));
    for (size_t r = 0; r < s.runs[run].rows; ++r)
      s.conv_row[s.runs[run].row_begin + r] = static_cast<int32_t>(first + r);
  }
}

void SaveConvStates(ForwardState& s, size_t layer, size_t channels) {
  for (size_t run = 0; run < s.runs.size(); ++run) {
    const int sequence = s.runs[run].sequence;
    CopyStateAfter(s, run, s.runs[run].rows, channels, s.cache->next_state(sequence, layer));
    for (size_t i = 0; i < s.cache->num_snapshots(sequence); ++i) {
      float* snapshot = s.cache->snapshot(sequence, i, layer);
      if (snapshot != nullptr)
        CopyStateAfter(s, run, s.cache->snapshot_rows(sequence, i), channels, snapshot);
    }
  }
}

void ConvolveRows(const ExecContext& ctx, ForwardState& s, size_t layer, size_t stride,
                  size_t begin, size_t channels) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  LoadConvStates(s, layer, channels);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, channels), [&](size_t row, int) {
    memcpy(ConvInput(s, row, channels), s.q + row * stride + begin, channels * sizeof(float));
  });
  SaveConvStates(s, layer, channels);
  const size_t taps = Size(s.h->conv_taps);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, (taps + 4) * channels), [&](size_t row, int) {
    float* out = s.conv_out + row * channels;
    kernels.short_conv(ConvWindow(s, row, channels), w.conv, taps, channels, out);
    if (w.conv_bias != nullptr) kernels.add(out, w.conv_bias, channels, out);
    kernels.silu(out, channels, out);
  });
}

}  // namespace lull
