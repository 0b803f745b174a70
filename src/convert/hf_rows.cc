#include "convert/hf_rows.h"

#include <string>

namespace lull {
namespace {

using Rows = HfTensor::Rows;

Status Bad(const std::string& message) { return Status(ErrorCode::kInvalidModel, message); }

Status SetTurned(uint64_t heads, uint64_t head_dim, Passage* passage) {
  const bool sound = head_dim > 0 && head_dim % 2 == 0 && passage->units_all % head_dim == 0 &&
                     passage->units_all / head_dim == heads;
  if (!sound)
    return Bad(std::to_string(passage->units_all) + " rows for " + std::to_string(heads) +
               " heads of " + std::to_string(head_dim));
  passage->head = head_dim;
  return Status();
}

Status SetTiles(const HfHeads& heads, uint64_t begin, Passage* passage) {
  const uint64_t keys = heads.delta_keys, values = heads.delta_values;
  const bool sound = keys > 0 && values > 0 && values % keys == 0 && passage->units_all > begin &&
                     (passage->units_all - begin) % values == 0;
  if (!sound) return Bad("not made of the model's heads");
  passage->tiled_begin = begin;
  passage->tiled_heads = keys;
  passage->tiled_each = values / keys;
  passage->tiled_units = (passage->units_all - begin) / values;
  return Status();
}

Status SetHalf(uint64_t begin, uint64_t step, Passage* passage) {
  if (passage->units_all % 2 != 0) return Bad("an odd number of rows");
  passage->units = passage->units_all / 2;
  passage->begin = begin;
  passage->step = step;
  return Status();
}

}  // namespace

Status SetHfRows(const HfHeads& heads, Rows rows, Passage* passage) {
  switch (rows) {
    case Rows::kInterleavedQ:
      return SetTurned(heads.heads, heads.head_dim, passage);
    case Rows::kInterleavedK:
      return SetTurned(heads.kv_heads, heads.head_dim, passage);
    case Rows::kTiledV:
    case Rows::kTiledColumns:
      return SetTiles(heads, 0, passage);
    case Rows::kTiledBehindQk:
      return SetTiles(heads, 2 * heads.delta_keys * heads.delta_key_width, passage);
    case Rows::kFirstHalf:
      return SetHalf(0, 1, passage);
    case Rows::kSecondHalf:
      return SetHalf(passage->units_all / 2, 1, passage);
    case Rows::kEven:
      return SetHalf(0, 2, passage);
    case Rows::kOdd:
      return SetHalf(1, 2, passage);
    case Rows::kAsTheyAre:
    case Rows::kLatentK:
    case Rows::kLatentV:
      break;
  }
  return Status();
}

}  // namespace lull
