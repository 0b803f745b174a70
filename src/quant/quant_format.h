// What the rest of Lull knows about a quantization type. One row of quant_list.inc makes one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/packed_matrix.h"

namespace lull {

// How a product reads its activations: as f32; as int8 with a scale for 32 values; or (K-quants,
// whose 256 weights can be summed in integers) so, or with a scale for 256.
enum class ActivationForm { kF32, kBlocks, kBlocksOrSuperBlocks };

struct QuantFormat {
  const char* name;           // "Q4_1", as GGUF prints it
  uint32_t gguf_type_id;      // id in GGUF files
  size_t block_k;             // weights per file block; K must be a multiple
  size_t file_block_bytes;    // of one row's block in the file
  size_t packed_block_bytes;  // of 16 rows' block in the interleaved layout
  ActivationForm activations;
  int index;  // position in AllQuantFormats

  // Repacks up to 16 consecutive file rows (fewer only in the last group; the rest become zeros)
  // of k weights into one group. src: file rows, each k / block_k * file_block_bytes long.
  void (*repack_group)(const uint8_t* src, size_t num_rows, size_t k, uint8_t* group);
  // Writes row `lane` (0..15) of a group as k floats: bit-equal to the gguf package's dequantize.
  void (*dequantize_row)(const uint8_t* group, size_t lane, size_t k, float* out);

  size_t GroupBytes(size_t k) const { return k / block_k * packed_block_bytes; }
};

// null where the type is not supported.
const QuantFormat* FindQuantFormat(uint32_t gguf_type_id);
const QuantFormat* FindQuantFormatByName(const char* name);
// All supported formats, in list order; count is written to *count.
const QuantFormat* const* AllQuantFormats(size_t* count);

}  // namespace lull
