// Architectures that alternate layers with a sliding window and layers with full attention.
#pragma once

#include "model/arch/common.h"

namespace lull::arch {

inline constexpr HparamSpec kWindowSpec = {"attention.sliding_window", &Hparams::window, false, 0,
                                           1 << 20};
inline constexpr HparamSpec kWindowPatternSpec = {"attention.sliding_window_pattern",
                                                  &Hparams::window_layers, false, 0, 1024};

// Every period-th layer is full, unless the file says which are. local_rope: the others rotate by
// rope_base_local.
inline void PlanWindows(Hparams& h, int64_t default_period, bool local_rope) {
  if (h.window == 0) return;
  const int64_t period = h.window_period > 0 ? h.window_period : default_period;
  for (int64_t i = 0; i < h.num_layers; ++i) {
    LayerPlan& layer = h.layers[i];
    const bool local = h.window_layers.empty() ? i % period != period - 1 : h.window_layers[i] != 0;
    layer.window = local ? h.window : 0;
    layer.local_rope = local && local_rope;
  }
}

}  // namespace lull::arch
