// One GGUF file checked and indexed; formats/gguf.cc joins the parts of a split model.
// Internal to formats/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/os/os.h"
#include "base/work_meter.h"
#include "formats/gguf.h"

namespace lull {

// Limits chosen so that the directory stays within 2x the file + 1 MiB of heap; the largest
// published models have about 100 keys and 2,000 tensors.
inline constexpr uint64_t kGgufMaxKeys = 4096;
inline constexpr uint64_t kGgufMaxTensors = 16384;
inline constexpr uint64_t kGgufMaxNameBytes = 65535;
inline constexpr uint64_t kGgufMinAlignment = 8;
inline constexpr uint64_t kGgufMaxAlignment = uint64_t{1} << 20;
inline constexpr uint64_t kGgufDefaultAlignment = 32;

struct GgufEntry {
  std::string_view key;    // view into the mapping
  uint64_t offset = 0;     // of the value; for arrays, of the element type
  GgufValueType type{};
};

struct GgufPart {
  std::unique_ptr<os::MappedFile> file;
  uint32_t version = 0;
  std::vector<GgufEntry> entries;      // file order
  std::vector<uint16_t> by_key;        // entry indices sorted by key
  uint64_t alignment = kGgufDefaultAlignment;
  uint64_t num_tensors = 0;
  uint64_t infos_offset = 0;           // first tensor info
  uint64_t data_offset = 0;            // aligned start of tensor data

  const GgufEntry* Find(std::string_view key) const;
};

// Reads header and keys, and checks every tensor info against the file, allocating only for keys.
Result<GgufPart> ParseGgufPart(const std::string& path, WorkMeter* meter);

// Appends the part's tensors. Requires: part came from ParseGgufPart. Refuses overlapping data.
Status AppendGgufTensors(const GgufPart& part, int file_index, WorkMeter* meter,
                         std::vector<GgufTensor>* tensors);

// Units of comparing two names.
inline size_t GgufCompareCost(std::string_view a, std::string_view b) {
  return 2 + std::min(a.size(), b.size()) / 256;
}

// Bytes of one value of a fixed-width type; 0 for strings, arrays and unknown ids.
uint64_t GgufValueWidth(GgufValueType type);
const char* GgufValueTypeName(GgufValueType type);

}  // namespace lull
