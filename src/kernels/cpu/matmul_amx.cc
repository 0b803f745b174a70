#include <type_traits>
#include <utility>

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/matmul_amx.h"
#include "quant/block_words.h"
#include "quant/quant_format.h"
#include "simd/isa/amx.h"

#define LULL_ISA amx
LULL_BEGIN_TARGET(LULL_TARGET_amx)
#include "kernels/cpu/matmul_amx-inl.h"
LULL_END_TARGET
#undef LULL_ISA
