#include "convert/passage.h"

#include <cmath>
#include <cstring>

namespace lull {
namespace {

float Changed(HfValues values, float value) {
  if (values == HfValues::kPlusOne) return value + 1.0f;
  if (values == HfValues::kMinusExp) return -std::exp(value);
  return value;
}

}  // namespace

// Which unit of a matrix becomes this one.
uint64_t Passage::Turned(uint64_t at) const {
  if (head > 0) {
    const uint64_t in_head = at % head;
    return at - in_head + in_head / 2 + (in_head % 2) * (head / 2);
  }
  if (tiled_heads > 0 && at >= tiled_begin) {
    const uint64_t to = (at - tiled_begin) / tiled_units;
    const uint64_t source = to % tiled_heads * tiled_each + to / tiled_heads;
    return tiled_begin + source * tiled_units + (at - tiled_begin) % tiled_units;
  }
  return at;
}

const uint8_t* Passage::Unit(uint64_t unit) const {
  const std::span<const uint8_t> part = parts[unit / units_part];
  const uint64_t in_part = unit % units_part;
  const uint64_t at = begin + Turned(in_part % units) * step;
  return part.data() + (in_part / units * units_all + at) * width * from.bytes;
}

void Passage::StoreChanged(const uint8_t* in, uint8_t* out) const {
  const float value = Changed(values, LoadFloat(from, in));
  StoreFloat(to, value, out);
  if (std::isfinite(value) && !std::isfinite(LoadFloat(to, out))) *overflow = true;
}

void Passage::CopyValues(const uint8_t* in, uint8_t* out) const {
  for (uint64_t i = 0; i < width; ++i) StoreChanged(in + i * from.bytes, out + i * to.bytes);
}

// One value of every unit of a matrix: `width` rows make a matrix.
void Passage::CopyColumn(uint64_t row, uint8_t* out) const {
  const uint64_t first = row / width * units;
  for (uint64_t i = 0; i < units; ++i)
    StoreChanged(Unit(first + i) + row % width * from.bytes, out + i * to.bytes);
}

void Passage::Copy(uint64_t first, uint64_t count, uint8_t* out) const {
  if (transposed) {
    for (uint64_t row = first; row < first + count; ++row, out += units * to.bytes)
      CopyColumn(row, out);
    return;
  }
  const bool as_it_is = from.type_id == to.type_id && values == HfValues::kSame;
  for (uint64_t unit = first * units_each; unit < (first + count) * units_each; ++unit) {
    if (as_it_is)
      memcpy(out, Unit(unit), width * to.bytes);
    else
      CopyValues(Unit(unit), out);
    out += width * to.bytes;
  }
}

// A byte holds two neighbours there, and here value i and i + 16 of the block.
void Mxfp4Passage::Copy(uint64_t first, uint64_t count, uint8_t* out) const {
  for (uint64_t at = first; at < first + count; ++at) {
    const uint64_t source = at / rows * rows_all + begin + at % rows * step;
    for (uint64_t block = source * row; block < (source + 1) * row; ++block, out += kBlockBytes) {
      const uint8_t* in = blocks.data() + block * kNibbleBytes;
      const auto value = [in](uint64_t i) {
        return static_cast<uint8_t>(i % 2 == 0 ? in[i / 2] & 0x0F : in[i / 2] >> 4);
      };
      out[0] = scales[block];
      for (uint64_t i = 0; i < kNibbleBytes; ++i)
        out[1 + i] = static_cast<uint8_t>(value(i) | value(i + kNibbleBytes) << 4);
    }
  }
}

}  // namespace lull
