// Block sizes and names of the ggml tensor types.
#include <limits>

#include "formats/gguf.h"

namespace lull {
namespace {

struct TypeInfo {
  uint32_t id;
  const char* name;
  uint64_t block_elements;
  uint64_t block_bytes;
};

// Ids 4, 5, 31-33 and 36-38 were withdrawn; files that carry them cannot be read any more.
constexpr TypeInfo kTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
};

const TypeInfo* FindType(uint32_t type_id) {
  for (const TypeInfo& type : kTypes)
    if (type.id == type_id) return &type;
  return nullptr;
}

}  // namespace

Result<uint64_t> GgufRowBytes(uint32_t type_id, uint64_t elements) {
  const TypeInfo* type = FindType(type_id);
  if (type == nullptr)
    return Status(ErrorCode::kUnsupported,
                  "tensor type id " + std::to_string(type_id) + " is not known", {},
                  "convert the model to one of the types that `lull inspect` lists");
  if (elements % type->block_elements != 0)
    return Status(ErrorCode::kInvalidModel,
                  "row length " + std::to_string(elements) + " is not a multiple of " + type->name +
                      "'s block of " + std::to_string(type->block_elements));
  const uint64_t blocks = elements / type->block_elements;
  if (blocks > std::numeric_limits<uint64_t>::max() / type->block_bytes)
    return Status(ErrorCode::kInvalidModel,
                  "row of " + std::to_string(elements) + " elements overflows 64 bits of bytes");
  return blocks * type->block_bytes;
}

const char* GgufTypeName(uint32_t type_id) {
  const TypeInfo* type = FindType(type_id);
  return type == nullptr ? "unknown" : type->name;
}

std::string GgufDims(std::span<const uint64_t> dims) {
  std::string text = "[";
  for (const uint64_t dim : dims) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

}  // namespace lull
