// The forward pass of every supported architecture in double precision, as plain as possible: no
// packed weights, no quantised activations, no pages, no batches. It shares nothing with src/model
// but the file reader and the quantization types' dequantize_row.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/gguf.h"
#include "lull/status.h"

namespace lull::testing {

struct NaiveResult {
  int64_t vocab = 0;
  std::vector<double> logits;         // [tokens, vocab]
  std::vector<double> router_margin;  // [tokens]: least (chosen - rejected) selection score over
                                      // the layers; infinity without experts
};

Result<NaiveResult> NaiveForward(const GgufFile& file, const std::vector<int32_t>& tokens);

}  // namespace lull::testing
