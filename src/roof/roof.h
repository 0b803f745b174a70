// What this machine can do at most, measured: the roof that speeds are quoted against.
#pragma once

#include <cstddef>
#include <string>

#include "lull/status.h"

namespace lull {

// Bytes per second read by `threads` threads together, each streaming its share of a buffer of
// buffer_bytes, as decoding streams weights; the best of `rounds` passes. isa: as in --isa.
Result<double> MeasureReadBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                    int rounds);

// int8 multiply-accumulates per second of `threads` threads, operands in registers.
Result<double> MeasureInt8Peak(const std::string& isa, int threads);

}  // namespace lull
