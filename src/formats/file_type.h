// The type of a whole model file: the mix of types that it was quantised to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/gguf.h"

namespace lull {

// general.file_type, numbers and names as llama.cpp's LLAMA_FTYPE: 15 is "Q4_K_M".
std::optional<uint32_t> FindFileType(std::string_view name);
// "" where there is none of that number.
const char* FileTypeName(uint64_t file_type);

// What a file says it is; where it says nothing that is known, the type that holds most bytes.
std::string FileTypeOf(const GgufFile& file);

}  // namespace lull
