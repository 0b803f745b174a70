// The three types of float that both formats have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lull {

struct FloatType {
  const char* name;  // in both formats, and as a file type
  uint32_t type_id;
  size_t bytes;
};

// Null where there is none of that name.
const FloatType* FindFloatType(std::string_view name);
float LoadFloat(const FloatType& type, const uint8_t* from);
void StoreFloat(const FloatType& type, float value, uint8_t* to);

}  // namespace lull
