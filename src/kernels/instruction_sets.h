// The instruction sets there are kernels for, and how each multiplies a type's matrices: for
// whoever wants to tell people.
#pragma once

#include <span>

#include "kernels/kernels.h"
#include "quant/quant_format.h"

namespace lull {

// Slowest first; the machine need not have them (MachineHas).
std::span<const Kernels* const> AllKernels();

// Every type has kernels that read its blocks as they are packed; what differs is what multiplies.
enum class ProductPath {
  kFloat,    // f32 activations: values are widened and multiplied as f32
  kInteger,  // int8 activations, integer sums of blocks
  kTiles,    // the same in the tile unit, where there are rows enough
};
ProductPath ProductPathOf(Isa isa, const QuantFormat& format);
const char* ProductPathName(ProductPath path);  // "f32", "int8", "int8 tiles"

}  // namespace lull
