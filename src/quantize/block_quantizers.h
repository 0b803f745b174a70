// One block of each type from its weights: run.n is the type's block_k, every x finite, every w at
// least 0 and one of them above.
#pragma once

#include "quantize/fit.h"

namespace lull::quantize {

void QuantizeQ4_0(const WeightRun& run, uint8_t* block);
void QuantizeQ4_1(const WeightRun& run, uint8_t* block);
void QuantizeQ5_0(const WeightRun& run, uint8_t* block);
void QuantizeQ5_1(const WeightRun& run, uint8_t* block);
void QuantizeQ8_0(const WeightRun& run, uint8_t* block);
void QuantizeIQ4_NL(const WeightRun& run, uint8_t* block);
void QuantizeMXFP4(const WeightRun& run, uint8_t* block);
void QuantizeQ1_0(const WeightRun& run, uint8_t* block);
void QuantizeQ2_0(const WeightRun& run, uint8_t* block);
void QuantizeTQ1_0(const WeightRun& run, uint8_t* block);
void QuantizeTQ2_0(const WeightRun& run, uint8_t* block);

void QuantizeQ2_K(const WeightRun& run, uint8_t* block);
void QuantizeQ3_K(const WeightRun& run, uint8_t* block);
void QuantizeQ4_K(const WeightRun& run, uint8_t* block);
void QuantizeQ5_K(const WeightRun& run, uint8_t* block);
void QuantizeQ6_K(const WeightRun& run, uint8_t* block);
void QuantizeIQ4_XS(const WeightRun& run, uint8_t* block);

}  // namespace lull::quantize
