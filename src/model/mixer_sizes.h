// What the mixers of a model's layers need: state of a sequence, and buffers per row of a batch.
#pragma once

#include <cstddef>

#include "model/hparams.h"

namespace lull {

// f32 values of one sequence's state in a layer; 0 for attention.
size_t MixerStateFloats(const Hparams& h, Mixer mixer);

// Values per row, the most of any layer; 0: not needed.
struct MixerSizes {
  size_t projected = 0;      // ForwardState::q
  size_t keys = 0;           // k; v is as long where there is attention
  size_t mixed = 0;          // mixed
  size_t conv_channels = 0;  // conv_input
  size_t conv_out = 0;
  size_t gate = 0;
  size_t dt = 0;
  size_t low_rank = 0;
};
MixerSizes SizesOfMixers(const Hparams& h, bool gated_attention);

}  // namespace lull
