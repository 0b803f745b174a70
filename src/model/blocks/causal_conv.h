// What blocks with a causal depth-wise convolution share: a sequence's last taps - 1 inputs are the
// first floats of its recurrent state in a layer. In s.conv_input these lie before the rows of
// their run, so that a row's window is contiguous.
#pragma once

#include <cstddef>

#include "model/forward_state.h"

namespace lull {

// Puts the states of the runs into conv_input and says in conv_row where each row goes, which is
// the caller's to fill: [channels] at ConvInput.
void LoadConvStates(ForwardState& s, size_t layer, size_t channels);
inline float* ConvInput(const ForwardState& s, size_t row, size_t channels) {
  return s.conv_input + static_cast<size_t>(s.conv_row[row]) * channels;
}
// The first of the taps inputs that a row's output is made of.
inline const float* ConvWindow(const ForwardState& s, size_t row, size_t channels) {
  return ConvInput(s, row, channels) - static_cast<size_t>(s.h->conv_taps - 1) * channels;
}
// The state behind each run, and behind the rows of it that end a page to be kept.
void SaveConvStates(ForwardState& s, size_t layer, size_t channels);

// Copies [begin, begin + channels) of each row of s.q through the convolution, adds its bias, and
// applies SiLU: rows of s.conv_out.
void ConvolveRows(const ExecContext& ctx, ForwardState& s, size_t layer, size_t stride,
                  size_t begin, size_t channels);

inline size_t ConvStateFloats(const Hparams& h, size_t channels) {
  return static_cast<size_t>(h.conv_taps - 1) * channels;
}

}  // namespace lull
