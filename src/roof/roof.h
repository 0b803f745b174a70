// What this machine can do at most, measured: the roof that speeds are quoted against. `isa` is a
// name as in --isa; the machine must have it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "lull/status.h"

namespace lull {

// Bytes per second read by `threads` threads together, each streaming its share of a buffer of
// buffer_bytes, as decoding streams weights: the best of `rounds` rounds and of several ways to
// read (one stream or four, with and without prefetch). A small buffer is read many times a round.
Result<double> MeasureReadBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                    int rounds);
// The same of memory that the caller has: what a kernel that reads it is quoted against.
Result<double> MeasureReadBandwidth(const std::string& isa, std::span<const uint8_t> memory,
                                    int threads, int rounds);
// Bytes per second written to a buffer.
Result<double> MeasureWriteBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                     int rounds);

// Per second and for all threads, operands in registers. int8 multiply-accumulates of the vector
// units ("amx": AVX-512's, the same figure with and without tiles):
Result<double> MeasureInt8Peak(const std::string& isa, int threads);
// ... of the tile unit; kUsage for an instruction set without one:
Result<double> MeasureTilePeak(const std::string& isa, int threads);
// ... f32 fused multiply-adds, and f32 divisions:
Result<double> MeasureF32Peak(const std::string& isa, int threads);
Result<double> MeasureDividePeak(const std::string& isa, int threads);

}  // namespace lull
