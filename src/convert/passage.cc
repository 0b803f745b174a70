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

const uint8_t* Passage::Unit(uint64_t unit) const {
  const std::span<const uint8_t> part = parts[unit / units_part];
  const uint64_t in_part = unit % units_part;
  uint64_t at = in_part % units;
  if (head > 0) {
    const uint64_t in_head = at % head;
    at += in_head / 2 + (in_head % 2) * (head / 2) - in_head;
  }
  return part.data() + (in_part / units * units_all + begin + at * step) * width * from.bytes;
}

void Passage::CopyValues(const uint8_t* in, uint8_t* out) const {
  for (uint64_t i = 0; i < width; ++i) {
    const float value = Changed(values, LoadFloat(from, in + i * from.bytes));
    StoreFloat(to, value, out + i * to.bytes);
    if (std::isfinite(value) && !std::isfinite(LoadFloat(to, out + i * to.bytes))) *overflow = true;
  }
}

void Passage::Copy(uint64_t first, uint64_t count, uint8_t* out) const {
  const bool as_it_is = from.type_id == to.type_id && values == HfValues::kSame;
  for (uint64_t unit = first * units_each; unit < (first + count) * units_each; ++unit) {
    if (as_it_is)
      memcpy(out, Unit(unit), width * to.bytes);
    else
      CopyValues(Unit(unit), out);
    out += width * to.bytes;
  }
}

}  // namespace lull
