#include "ops/embedding.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "quant/quant_format.h"

namespace lull {

void EmbedTokens(const ExecContext& ctx, OpEnv& env, const PackedMatrix& w,
                 std::span<const int32_t> tokens, float scale, float* out) {
  const RowTiles tiles(ctx, tokens.size(), 4.0 * static_cast<double>(w.k));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(tokens.size(), (tile + 1) * tiles.per_tile);
    for (size_t i = tile * tiles.per_tile; i < end; ++i) {
      const auto row = static_cast<size_t>(tokens[i]);
      float* x = out + i * w.k;
      w.format->dequantize_row(w.data + row / 16 * w.group_bytes, row % 16, w.k, x);
      if (scale != 1.0f) env.kernels.mul_scalar(x, scale, w.k, x);
    }
  });
}

}  // namespace lull
