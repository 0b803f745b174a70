#include "roof/tile_loop.h"

#include "simd/isa/amx.h"

LULL_BEGIN_TARGET(LULL_TARGET_amx)
namespace lull::amx {

inline int64_t TileLoop(size_t iterations) {
  TileShapes shapes;
  for (int i = 0; i < 8; ++i) {
    shapes.rows[i] = 16;
    shapes.row_bytes[i] = 64;
  }
  alignas(64) int8_t bytes[1024];
  for (int i = 0; i < 1024; ++i) bytes[i] = static_cast<int8_t>(i & 3);
  SetTileShapes(shapes);
  TileZero<0>();
  TileZero<1>();
  TileZero<2>();
  TileZero<3>();
  TileLoad<4>(bytes, 64);
  TileLoad<5>(bytes, 64);
  TileLoad<6>(bytes, 64);
  TileLoad<7>(bytes, 64);
  for (size_t i = 0; i < iterations; ++i) {
    TileDot<0, 4, 6>();
    TileDot<1, 4, 7>();
    TileDot<2, 5, 6>();
    TileDot<3, 5, 7>();
  }
  alignas(64) int32_t sums[256];
  TileStore<0>(sums, 64);
  ReleaseTiles();
  return sums[0];
}

}  // namespace lull::amx
LULL_END_TARGET

namespace lull {

int64_t TileLoop(size_t iterations) { return amx::TileLoop(iterations); }

}  // namespace lull
