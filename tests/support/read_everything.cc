#include "tests/support/read_everything.h"

#include <bit>

namespace lull {
namespace {

uint64_t SumText(std::string_view text) {
  uint64_t sum = text.size();
  for (const char c : text) sum = sum * 31 + static_cast<unsigned char>(c);
  return sum;
}

uint64_t ReadKey(const GgufFile& file, const std::string& key) {
  uint64_t sum = SumText(file.Describe(key)) + file.OffsetOf(key);
  if (const auto value = file.GetUint(key); value.ok()) sum += *value;
  if (const auto value = file.GetInt(key); value.ok()) sum += static_cast<uint64_t>(*value);
  if (const auto value = file.GetFloat(key); value.ok()) sum += std::bit_cast<uint64_t>(*value);
  if (const auto value = file.GetBool(key); value.ok()) sum += *value ? 1 : 0;
  if (const auto value = file.GetString(key); value.ok()) sum += SumText(*value);
  if (const auto value = file.ArraySize(key); value.ok()) sum += *value;
  if (const auto value = file.GetStringArray(key); value.ok())
    for (const std::string_view text : *value) sum += SumText(text);
  if (const auto value = file.GetIntArray(key); value.ok())
    for (const int64_t element : *value) sum += static_cast<uint64_t>(element);
  if (const auto value = file.GetFloatArray(key); value.ok())
    for (const float element : *value) sum += std::bit_cast<uint32_t>(element);
  return sum;
}

}  // namespace

uint64_t ReadEverything(const GgufFile& file) {
  uint64_t sum = file.version() + file.file_bytes();
  for (const std::string& key : file.Keys()) sum += ReadKey(file, key);
  for (const GgufTensor& tensor : file.tensors()) {
    sum += SumText(tensor.name) + tensor.data.front() + tensor.data.back();
    if (file.FindTensor(tensor.name) != &tensor) sum += 1;
  }
  return sum;
}

}  // namespace lull
