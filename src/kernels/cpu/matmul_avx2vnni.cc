#include <type_traits>
#include <utility>

#include "kernels/cpu/matmul.h"
#include "quant/block_words.h"
#include "quant/quant_format.h"
#include "simd/isa/avx2vnni.h"

#define LULL_ISA avx2vnni
LULL_BEGIN_TARGET(LULL_TARGET_avx2vnni)
#include "kernels/cpu/matmul-inl.h"
LULL_END_TARGET
#undef LULL_ISA
