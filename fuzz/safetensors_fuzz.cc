// libFuzzer target: any bytes as a safetensors file. Built by the preset "fuzz".
#include <cstddef>
#include <cstdint>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = lull::ParseSafetensors({data, size}, "fuzz");
  if (!tensors.ok()) return 0;
  for (const lull::SafetensorsTensor& tensor : *tensors) {
    uint8_t sum = 0;
    for (const uint8_t byte : tensor.data) sum = static_cast<uint8_t>(sum + byte);
    volatile uint8_t sink = sum;
    (void)sink;
  }
  return 0;
}
