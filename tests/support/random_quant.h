// Random file rows of every quantization type, with finite scales of moderate size.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/f16.h"
#include "quant/quant_format.h"

namespace lull {

// Byte offsets of the f16 fields in a type's file block.
inline std::vector<size_t> HalfOffsets(const QuantFormat& format) {
  const std::string name = format.name;
  if (name == "Q4_1" || name == "Q5_1" || name == "Q4_K" || name == "Q5_K") return {0, 2};
  if (name == "Q6_K") return {208};
  if (name == "Q2_K") return {80, 82};
  if (name == "Q3_K") return {108};
  if (name == "TQ2_0") return {64};
  if (name == "TQ1_0") return {52};
  if (name == "MXFP4") return {};
  return {0};
}

inline std::vector<uint8_t> RandomFileRows(const QuantFormat& format, size_t rows, size_t k,
                                           std::mt19937& rng) {
  std::vector<uint8_t> bytes(rows * (k / format.block_k) * format.file_block_bytes);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng());
  std::uniform_real_distribution<float> value(-1.0f, 1.0f);
  for (size_t at = 0; at < bytes.size(); at += format.file_block_bytes) {
    if (format.activations == ActivationForm::kF32) {
      const float f = value(rng);
      const uint16_t half = format.gguf_type_id == 1 ? F32ToF16(f) : F32ToBf16(f);
      if (format.file_block_bytes == 4)
        memcpy(&bytes[at], &f, 4);
      else
        memcpy(&bytes[at], &half, 2);
      continue;
    }
    if (std::strcmp(format.name, "MXFP4") == 0) bytes[at] = static_cast<uint8_t>(100 + rng() % 24);
    for (const size_t offset : HalfOffsets(format)) {
      const uint16_t half = F32ToF16(value(rng) * 0.1f);
      memcpy(&bytes[at + offset], &half, 2);
    }
  }
  return bytes;
}

// A packed copy of file rows, 64-byte aligned.
struct OwnedMatrix {
  PackedMatrix view;
  std::vector<uint8_t> storage;

  OwnedMatrix(const QuantFormat& format, const std::vector<uint8_t>& file, size_t rows, size_t k) {
    view = {&format, rows, k, format.GroupBytes(k), nullptr};
    storage.resize(view.packed_bytes() + 64);
    uint8_t* data = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    const size_t row_bytes = k / format.block_k * format.file_block_bytes;
    for (size_t g = 0; g < view.groups(); ++g) {
      const size_t left = rows - 16 * g;
      format.repack_group(file.data() + 16 * g * row_bytes, left < 16 ? left : 16, k,
                          data + g * view.group_bytes);
    }
    view.data = data;
  }
  OwnedMatrix(const OwnedMatrix&) = delete;
  OwnedMatrix& operator=(const OwnedMatrix&) = delete;
};

}  // namespace lull
