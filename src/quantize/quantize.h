// Rows of floats to the blocks of a file's quantization type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lull/status.h"
#include "quant/quant_format.h"

namespace lull {

// Writes rows.size() / k rows of k weights as file blocks of `format`, k / block_k *
// file_block_bytes bytes each. importance: empty, or k numbers, how much a squared error in each
// column counts (the mean square of the activations that meet it); only their ratios within a block
// matter.
//
// Every type's scales are searched for the least weighted squared error. The same input gives the
// same bytes on every machine, whatever rows are passed together; any thread may call it.
//
// Errors: kUsage where the sizes do not fit, kInvalidInput where a weight is not finite or beyond
// +-65504 (F32 and BF16: any finite), or an importance negative or not finite; `where` names row
// and column.
Status QuantizeRows(const QuantFormat& format, std::span<const float> rows, size_t k,
                    std::span<const float> importance, std::span<uint8_t> out);

}  // namespace lull
