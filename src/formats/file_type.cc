#include "formats/file_type.h"

#include <algorithm>
#include <map>

namespace lull {
namespace {

struct FileType {
  uint32_t number;
  const char* name;
};

// Numbers that are not here were taken by types that are no more.
constexpr FileType kFileTypes[] = {
    {0, "F32"},      {1, "F16"},      {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
    {8, "Q5_0"},     {9, "Q5_1"},     {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
    {13, "Q3_K_L"},  {14, "Q4_K_S"},  {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
    {18, "Q6_K"},    {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"},
    {23, "IQ3_XXS"}, {24, "IQ1_S"},   {25, "IQ4_NL"}, {26, "IQ3_S"},  {27, "IQ3_M"},
    {28, "IQ2_S"},   {29, "IQ2_M"},   {30, "IQ4_XS"}, {31, "IQ1_M"},  {32, "BF16"},
    {36, "TQ1_0"},   {37, "TQ2_0"},   {38, "MXFP4"},  {39, "NVFP4"},  {40, "Q1_0"},
    {41, "Q2_0"},
};

std::string TypeOfMostBytes(const GgufFile& file) {
  std::map<uint32_t, uint64_t> bytes;
  for (const GgufTensor& tensor : file.tensors()) bytes[tensor.type_id] += tensor.data.size();
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : GgufTypeName(most->first);
}

}  // namespace

std::optional<uint32_t> FindFileType(std::string_view name) {
  for (const FileType& type : kFileTypes)
    if (name == type.name) return type.number;
  return std::nullopt;
}

const char* FileTypeName(uint64_t file_type) {
  for (const FileType& type : kFileTypes)
    if (file_type == type.number) return type.name;
  return "";
}

std::string FileTypeOf(const GgufFile& file) {
  const Result<uint64_t> number = file.GetUint("general.file_type");
  const std::string name = number.ok() ? FileTypeName(*number) : "";
  return name.empty() ? TypeOfMostBytes(file) : name;
}

}  // namespace lull
