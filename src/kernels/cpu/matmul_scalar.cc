#include <type_traits>
#include <utility>

#include "kernels/cpu/matmul.h"
#include "quant/block_words.h"
#include "quant/quant_format.h"
#include "simd/isa/scalar.h"

#define LULL_ISA scalar
LULL_BEGIN_TARGET(LULL_TARGET_scalar)
#include "kernels/cpu/matmul-inl.h"
LULL_END_TARGET
#undef LULL_ISA
