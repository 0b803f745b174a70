// Cuts matrix products into tiles of about 0.1 ms. Work is a list of strips (one matrix, some
// activation rows), each a run of units (a unit: the fewest 16-row groups that may be computed
// apart). Tiles are equal shares of the summed cost, so they may span strips. K is never split,
// so where the cuts fall cannot change a result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/exec_context.h"
#include "kernels/kernels.h"
#include "quant/packed_matrix.h"

namespace lull {

struct Strip {
  size_t item = 0;       // the caller's index
  size_t row_begin = 0;  // activation rows
  size_t row_end = 0;
  size_t units = 0;
  uint64_t unit_cost = 0;   // ns, at least 1
  uint64_t cost_begin = 0;  // of all strips before
};

class TilePlan {
 public:
  void Clear();
  // w: a matrix of the item (others of the item have the same shape; `matrices` of them).
  // unit_groups: groups per unit. max_outputs: unit outputs that fit a thread's scratch, or 0.
  // super_blocks: K-quants are multiplied by activations in super-blocks.
  void AddItem(const Kernels& kernels, size_t item, const PackedMatrix& w, size_t matrices,
               bool super_blocks, size_t row_begin, size_t row_end, size_t unit_groups,
               size_t max_outputs);
  // Fixes the number of tiles.
  size_t Finish(const ExecContext& ctx);
  size_t tiles() const { return tiles_; }

  // fn(strip, unit_begin, unit_end) for each piece of a tile.
  template <typename Fn>
  void ForTile(size_t tile, Fn&& fn) const {
    const Cut begin = CutAt(tile);
    const Cut end = CutAt(tile + 1);
    for (size_t s = begin.strip; s <= end.strip && s < strips_.size(); ++s) {
      const size_t from = s == begin.strip ? begin.unit : 0;
      const size_t to = s == end.strip ? end.unit : strips_[s].units;
      if (from < to) fn(strips_[s], from, to);
    }
  }

 private:
  struct Cut {
    size_t strip = 0;
    size_t unit = 0;
  };
  Cut CutAt(size_t tile) const;

  std::vector<Strip> strips_;  // keeps its capacity between uses
  uint64_t total_cost_ = 0;
  size_t total_units_ = 0;
  size_t tiles_ = 0;
};

}  // namespace lull
