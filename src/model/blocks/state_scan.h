// Runs a recurrence over the rows of every run: the state of a head lies behind the convolution's
// in the sequence's recurrent state, goes from row to row in order, and is kept where a page ends.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "model/blocks/causal_conv.h"

namespace lull {

struct ScanShape {
  size_t conv_floats = 0;  // of the layer's state before the heads'
  size_t heads = 0;
  size_t head_floats = 0;   // state of one head
  double ns_per_row = 0.0;  // rough cost of a head's step
};

// step(state, row, head) for every row of every run in ascending order, on any thread: heads and
// runs are independent of each other.
template <typename Step>
void ScanStates(const ExecContext& ctx, ForwardState& s, size_t layer, const ScanShape& shape,
                Step&& step) {
  constexpr double kCheckpointNs = 100e3;
  const auto rows_between = static_cast<size_t>(std::max(1.0, kCheckpointNs / shape.ns_per_row));
  ParallelFor(ctx, s.runs.size() * shape.heads, [&](size_t item, int) {
    const SequenceRun& run = s.runs[item / shape.heads];
    const size_t head = item % shape.heads;
    const size_t at = shape.conv_floats + head * shape.head_floats;
    float* state = s.cache->next_state(run.sequence, layer) + at;
    memcpy(state, s.cache->state(run.sequence, layer) + at, shape.head_floats * sizeof(float));
    size_t snapshot = 0;
    for (size_t r = 0; r < run.rows; ++r) {
      step(state, run.row_begin + r, head);
      if ((r + 1) % rows_between == 0) {
        if (ctx.Cancelled()) return;
        ctx.Checkpoint();
      }
      if (snapshot == s.cache->num_snapshots(run.sequence) ||
          s.cache->snapshot_rows(run.sequence, snapshot) != r + 1)
        continue;
      float* kept = s.cache->snapshot(run.sequence, snapshot++, layer);
      if (kept != nullptr) memcpy(kept + at, state, shape.head_floats * sizeof(float));
    }
  });
}

}  // namespace lull
