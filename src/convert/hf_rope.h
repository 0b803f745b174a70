// Rotation: rope_theta and rope_scaling of config.json, or rope_parameters with both, as GGUF's
// keys and tensors.
#pragma once

#include "convert/hf_config.h"

namespace lull {

// How many values of a head turn. local: of architectures whose layers with a window rotate by a
// base of their own.
Result<uint64_t> AddHfRope(const HfConfig& config, uint64_t head_dim, bool local, HfOutput* out);

}  // namespace lull
