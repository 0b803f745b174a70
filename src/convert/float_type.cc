#include "convert/float_type.h"

#include <cstring>

#include "base/f16.h"

namespace lull {
namespace {

constexpr FloatType kFloatTypes[] = {{"F32", 0, 4}, {"F16", 1, 2}, {"BF16", 30, 2}};

}  // namespace

const FloatType* FindFloatType(std::string_view name) {
  for (const FloatType& type : kFloatTypes)
    if (name == type.name) return &type;
  return nullptr;
}

float LoadFloat(const FloatType& type, const uint8_t* from) {
  if (type.bytes == 4) {
    float value = 0;
    memcpy(&value, from, 4);
    return value;
  }
  uint16_t bits = 0;
  memcpy(&bits, from, 2);
  return type.type_id == 1 ? F16ToF32(bits) : Bf16ToF32(bits);
}

void StoreFloat(const FloatType& type, float value, uint8_t* to) {
  if (type.bytes == 4) {
    memcpy(to, &value, 4);
    return;
  }
  const uint16_t bits = type.type_id == 1 ? F32ToF16(value) : F32ToBf16(value);
  memcpy(to, &bits, 2);
}

}  // namespace lull
