// libFuzzer target: any bytes as an importance matrix of the older format (the other is GGUF).
// Built by the preset "fuzz".
#include <cstddef>
#include <cstdint>

#include "quantize/importance.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto matrix = lull::ParseImportanceDat({data, size}, "fuzz");
  if (!matrix.ok()) return 0;
  for (const auto& [name, entry] : matrix->tensors)
    if (entry.Means(entry.sums.size(), 0).size() > entry.sums.size()) __builtin_trap();
  return 0;
}
